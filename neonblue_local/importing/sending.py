"""Records to the API: in batches where it takes batches, again where it was away, and what it said of each."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay, wait_exponential_jitter

from neonblue_local.api_client import client
from neonblue_local.errors import LocalError
from neonblue_local.importing.records import Record

GIVE_UP_S = 120
_AT_ONCE = 8
_wait = wait_exponential_jitter(multiplier=0.2, max=3)
_encode = msgspec.json.Encoder().encode


class ImportStopped(LocalError):
    """The API cannot be reached or refuses the whole import."""


@dataclass
class Outcome:
    """What became of some records; `rejected` holds position, code and message."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[tuple[int, str, str]] = field(default_factory=list)


class Sender:
    """Sends records of one kind. Every request is safe to repeat."""

    def __init__(self, api_url: str, token: str, say: Callable[[str], None]) -> None:
        self._client = client(api_url, token, 60)
        self._say = say

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def send(self, kind: str, records: list[Record]) -> Outcome:
        """Raises ImportStopped."""
        if kind == "events":
            return self._batch("/v1/events/batch", b"\n".join(map(_encode, records)), "application/x-ndjson")
        if kind == "assignments":
            return self._batch("/v1/assignments/batch", _encode({"assignments": records}), "application/json")
        return self._one_by_one(f"/v1/{kind}", records)

    def _batch(self, path: str, body: bytes, media: str) -> Outcome:
        reply = self._ask("POST", path, body, media)
        if reply.status_code not in (200, 202):
            raise ImportStopped(_told(reply))
        told = reply.json()
        rejected = [(item["index"], item["code"], item["message"]) for item in told["rejected"]]
        return Outcome(told["accepted"], told["duplicates"], rejected)

    def _one_by_one(self, path: str, records: list[Record]) -> Outcome:
        outcome = Outcome()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            replies = pool.map(lambda record: self._ask("POST", path, _encode(record)), records)
            for position, reply in enumerate(replies):
                if reply.status_code == 201:
                    outcome.accepted += 1
                elif reply.status_code == 200 or (reply.status_code == 409 and self._is_there(path, records[position])):
                    outcome.duplicates += 1
                elif reply.status_code in (401, 403, 404):
                    raise ImportStopped(_told(reply))
                else:
                    problem = reply.json()
                    outcome.rejected.append((position, problem["code"], problem["detail"]))
        return outcome

    def _is_there(self, path: str, record: Record) -> bool:
        """Whether the API has what the record says under its key: an import that was cut, or is run again."""
        wanted = msgspec.json.decode(_encode(record))
        reply = self._ask("GET", f"{path}/{quote(str(wanted.get('key')), safe='')}")
        return reply.status_code == 200 and _says(reply.json(), wanted)

    def _ask(self, method: str, path: str, body: bytes = b"", media: str = "application/json") -> httpx.Response:
        """Any reply but those that ask to come again later. Raises ImportStopped."""
        tries = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, httpx.TransportError | httpx.HTTPStatusError)),
            wait=_pause,
            stop=stop_before_delay(GIVE_UP_S),
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            return tries(self._once, method, path, body, media)
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            raise ImportStopped(
                f"{method} {path} did not get through within {GIVE_UP_S} s: {error}; "
                "run the same command again to go on from here"
            ) from error

    def _once(self, method: str, path: str, body: bytes, media: str) -> httpx.Response:
        reply = self._client.request(method, path, content=body, headers={"Content-Type": media})
        if reply.status_code in (429, 503):
            reply.raise_for_status()
        return reply

    def _tell(self, state: RetryCallState) -> None:
        if state.attempt_number in (3, 10, 30):
            self._say("the API does not take it yet; trying again, nothing is lost")


def _pause(state: RetryCallState) -> float:
    """Seconds until the next try: what the API asks for, or somewhat more each time."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.response.headers.get("Retry-After", "") if isinstance(error, httpx.HTTPStatusError) else ""
    return max(_wait(state), float(asked) if asked.isdecimal() else 0.0)


def _says(found: Any, wanted: Any) -> bool:
    """Whether a reply holds all that was sent; it may hold more, and an object for what was sent as its key."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_says(found.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(_says, found, wanted))
    return found == wanted or (isinstance(found, dict) and found.get("key") == wanted)


def _told(reply: httpx.Response) -> str:
    try:
        problem = reply.json()
        return f"the API answered {reply.status_code}: {problem['detail']}; {problem['way_out']}"
    except (ValueError, KeyError):
        return f"the API answered {reply.status_code}: {reply.text[:300]}"
