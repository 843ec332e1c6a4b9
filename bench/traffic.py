"""What applications send: sessions of Zipf-distributed users on a shop's pages. Made ahead; ids and times at sending.

The few busiest users send most events (rank r with weight r^-1.1), a session is 1 to some 30 events of one device and
browser, most of them page views, few of them purchases. One event is about 330 bytes of JSON.
"""

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

ID_BYTES, SECOND_BYTES = 36, 19
_ZIPF = 1.1
_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
# Where the 32 digits of a UUID stand among its 36 characters, and where its dashes.
_DIGITS = np.array([i for i in range(36) if i not in (8, 13, 18, 23)])
_DASHES = np.array([8, 13, 18, 23])

_DEVICES, _DEVICE_WEIGHTS = ("mobile", "desktop", "tablet"), (58, 38, 4)
_BROWSERS = {
    "mobile": (("Safari", "Chrome Mobile", "Samsung Internet"), (45, 45, 10)),
    "desktop": (("Chrome", "Firefox", "Edge", "Safari"), (65, 10, 15, 10)),
    "tablet": (("Safari", "Chrome"), (70, 30)),
}
_COUNTRIES, _COUNTRY_WEIGHTS = ("DE", "FR", "GB", "US", "NL", "PL", "SE"), (30, 15, 15, 20, 8, 8, 4)
_CAMPAIGNS = ("", "", "", "spring", "newsletter", "search-brand", "search-generic")
_SECTIONS = ("shoes", "coats", "shirts", "bags", "sale", "new", "home", "sport")


class Population:
    """Users u-0000000000 to u-…, of whom a few are seen most of the time."""

    def __init__(self, users: int, prefix: str = "u") -> None:
        self.users, self.prefix = users, prefix
        weights = np.arange(1, users + 1) ** -_ZIPF
        self._cumulated = np.cumsum(weights / weights.sum())

    def name(self, number: int) -> str:
        return f"{self.prefix}-{number:010d}"

    def draw(self, chance: random.Random) -> str:
        # Rank and number are unrelated, as in life: neighbours in a table are not equally busy.
        rank = min(int(np.searchsorted(self._cumulated, chance.random())), self.users - 1)
        return self.name(rank * 7919 % self.users)


def events(population: Population, chance: random.Random, experiment: str | None) -> Iterator[dict[str, Any]]:
    """Events without end, session after session; exposures name the experiment."""
    while True:
        user, session_id = population.draw(chance), str(uuid.UUID(int=chance.getrandbits(128), version=4))
        device = chance.choices(_DEVICES, _DEVICE_WEIGHTS)[0]
        about: dict[str, Any] = {
            "device": device,
            "browser": chance.choices(*_BROWSERS[device])[0],
            "country": chance.choices(_COUNTRIES, _COUNTRY_WEIGHTS)[0],
        }
        if campaign := chance.choice(_CAMPAIGNS):
            about["campaign"] = campaign
        for step in range(min(1 + int(chance.expovariate(1 / 8)), 30)):
            event_type, properties = _step(step, chance)
            yield {
                "id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
                "user_id": user,
                "event_type": event_type,
                "timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.{chance.randrange(10**6):06d}Z",
                **({"experiment": experiment} if experiment and event_type == "exposure" else {}),
                "session_id": session_id,
                "properties": properties | about,
            }


def _step(step: int, chance: random.Random) -> tuple[str, dict[str, Any]]:
    section = chance.choice(_SECTIONS)
    product = f"/{section}/{int(chance.paretovariate(0.6)) % 20_000}"
    if step == 0:
        return "page_view", {"page": f"/{section}", "load_ms": int(chance.lognormvariate(6.5, 0.5))}
    if step == 1:
        return "exposure", {"page": product}
    kind = chance.random()
    if kind < 0.60:
        return "page_view", {"page": product, "load_ms": int(chance.lognormvariate(6.5, 0.5))}
    if kind < 0.82:
        return "click", {"page": product, "element": chance.choice(("photo", "size", "colour", "review", "more"))}
    if kind < 0.90:
        return "search", {
            "page": "/search",
            "score": round(chance.random(), 4),
            "results": int(chance.expovariate(1 / 60)),
        }
    if kind < 0.97:
        return "add_to_cart", {"page": product, "value": round(chance.lognormvariate(3.4, 0.7), 2)}
    return "conversion", {
        "page": "/checkout/done",
        "value": round(chance.lognormvariate(4.1, 0.6), 2),
        "items": 1 + int(chance.expovariate(0.8)),
        "currency": "EUR",
    }


class Batch:
    """The body of one batch request; each `body()` has new ids and the present time."""

    def __init__(self, source: Iterator[dict[str, Any]], size: int) -> None:
        text = bytearray(b'{"events":[')
        ids, seconds = [], []
        self.event_bytes = 0
        for number in range(size):
            one = msgspec.json.encode(next(source))
            ids.append(len(text) + one.index(b'"id":"') + 6)
            seconds.append(len(text) + one.index(b'"timestamp":"') + 13)
            self.event_bytes += len(one)
            text += one + (b"," if number < size - 1 else b"]}")
        self.size = size
        self._text = np.frombuffer(text, dtype=np.uint8)
        self._ids = np.array(ids)[:, None] + np.arange(ID_BYTES)
        self._seconds = np.array(seconds)[:, None] + np.arange(SECOND_BYTES)

    def body(self, chance: np.random.Generator) -> bytes:
        self._text[self._ids] = new_ids(self.size, chance)
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}".encode()
        self._text[self._seconds] = np.frombuffer(now, dtype=np.uint8)
        return self._text.tobytes()


def new_ids(count: int, chance: np.random.Generator) -> NDArray[np.uint8]:
    """Random UUIDs (version 4) as text, shape (count, 36)."""
    raw = np.frombuffer(chance.bytes(16 * count), dtype=np.uint8).reshape(count, 16)
    digits = np.empty((count, 32), dtype=np.uint8)
    digits[:, 0::2], digits[:, 1::2] = _HEX[raw >> 4], _HEX[raw & 15]
    digits[:, 12] = ord("4")
    digits[:, 16] = _HEX[8 + (raw[:, 8] >> 6)]
    text = np.empty((count, ID_BYTES), dtype=np.uint8)
    text[:, _DIGITS], text[:, _DASHES] = digits, ord("-")
    return text
