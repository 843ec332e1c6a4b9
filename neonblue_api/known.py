"""What the API may say about experiments and assignments without asking PostgreSQL, and for how long.

A definition is good for the lease of the settings, from the moment at which PostgreSQL was asked. With it comes its
fence: a text that changes when an assignment of the experiment is deleted (sql/postgres/031), when PostgreSQL is
started anew and when its tables are restored. An assignment that is kept here or in Redis carries the fence under which
it was read, and counts only beside a definition that has the same. So nothing has to be told to other processes, and no
message can be lost: each learns within a lease that what it holds is void.

What is new is stored by PostgreSQL alone, which refuses what was chosen by a definition that has changed.
Users' ids are kept as digests.
"""

import time
from hashlib import blake2b
from typing import TypeVar

import msgspec
from redis.asyncio import Redis

from neonblue_api.redis_link import PREFIX, Gathered, RedisLink, ask_or_none
from neonblue_api.settings import Settings

T = TypeVar("T")
_KEPT_S = 3600  # in Redis
_CLOCK_GOOD_FOR_S = 10.0


class Definition(msgspec.Struct, frozen=True, array_like=True):
    """What assigning needs of an experiment; `read_at` is PostgreSQL's clock, in seconds, at the latest then."""

    status: str
    seed: str
    coverage: float
    keys: list[str]
    weights: list[float]
    revision: int
    fence: str
    read_at: float


class Held(msgspec.Struct, frozen=True, array_like=True):
    """An assignment of a user."""

    fence: str
    variant_key: str
    assigned_at: str


_encode = msgspec.json.Encoder().encode
_definition = msgspec.json.Decoder(Definition)
_held = msgspec.json.Decoder(Held)
_Pair = tuple[bytes | None, bytes | None]


class Known:
    """Definitions and assignments: in this process, and in Redis where there is one."""

    def __init__(self, settings: Settings, link: RedisLink | None) -> None:
        self._lease = settings.definition_lease
        self._most = settings.assignment_cache
        self._definitions: dict[str, tuple[float, Definition]] = {}  # with the monotonic time at which it ends
        self._assignments: dict[bytes, Held] = {}
        self._ahead: tuple[float, float] = (0.0, float("-inf"))  # PostgreSQL's clock before ours, noted at
        self._shared = Gathered(link, _get) if link else None
        self._notes = Gathered(link, _set) if link else None

    async def find(self, experiment: str, user_id: str) -> tuple[Definition | None, Held | None]:
        """The definition if one is good, and the user's assignment if that is known beside it."""
        if not self._lease:
            return None, None
        definition = self._good(experiment)
        key = _key(experiment, user_id)
        held = self._assignments.get(key)
        if definition and held and held.fence == definition.fence:
            return definition, held
        shared: _Pair | None = await ask_or_none(self._shared, (experiment, key))
        if shared is None:
            return definition, None
        definition = definition or self._adopt(experiment, _read(_definition, shared[0]))
        held = _read(_held, shared[1])
        if definition is None or held is None or held.fence != definition.fence:
            return definition, None
        self._keep(key, held)
        return definition, held

    def learned(self, experiment: str, definition: Definition, asked_at: float) -> None:
        """PostgreSQL told the definition; `asked_at` is the monotonic time before it was asked."""
        if not self._lease:
            return
        self._ahead = (definition.read_at - asked_at, asked_at)
        self._definitions[experiment] = (asked_at + self._lease, definition)
        if self._notes:
            ends_in_ms = int((asked_at + self._lease - time.monotonic()) * 1000)
            if ends_in_ms > 0:
                self._notes.tell((_definition_key(experiment), _encode(definition), ends_in_ms))

    def assigned(self, experiment: str, user_id: str, definition: Definition, variant_key: str, at: str) -> None:
        """PostgreSQL told, after it had told the definition, that the user has this variant."""
        if not self._lease:
            return
        key, held = _key(experiment, user_id), Held(definition.fence, variant_key, at)
        self._keep(key, held)
        if self._notes:
            self._notes.tell((_assignment_key(key), _encode(held), _KEPT_S * 1000))

    def forget(self, experiment: str) -> None:
        """Something was deleted by this process: here it is not known any more at once, elsewhere within the lease."""
        self._definitions.pop(experiment, None)
        if self._notes:
            self._notes.tell((_definition_key(experiment), b"", 1))

    def _good(self, experiment: str) -> Definition | None:
        ends, definition = self._definitions.get(experiment, (0.0, None))
        return definition if time.monotonic() < ends else None

    def _adopt(self, experiment: str, shared: Definition | None) -> Definition | None:
        """What another process put into Redis, if it is good: it may have lain there while Redis stood still."""
        now = time.monotonic()
        ahead, noted_at = self._ahead
        if shared is None or now - noted_at > _CLOCK_GOOD_FOR_S:
            return None
        # PostgreSQL's clock is at most this: its answer was on the way while ours went on.
        age = now + ahead - shared.read_at
        if age >= self._lease:
            return None
        self._definitions[experiment] = (now + self._lease - max(age, 0.0), shared)
        return shared

    def _keep(self, key: bytes, held: Held) -> None:
        if len(self._assignments) >= self._most:
            if not self._most:
                return
            del self._assignments[next(iter(self._assignments))]
        self._assignments[key] = held


def _key(experiment: str, user_id: str) -> bytes:
    return blake2b(f"{experiment}\0{user_id}".encode(), digest_size=16).digest()


def _definition_key(experiment: str) -> str:
    return f"{PREFIX}definition:{experiment}"


def _assignment_key(key: bytes) -> str:
    return f"{PREFIX}assignment:{key.hex()}"


def _read(decoder: "msgspec.json.Decoder[T]", text: bytes | None) -> T | None:
    try:
        return decoder.decode(text) if text else None
    except msgspec.MsgspecError:
        return None  # of another version: as if it were not there


async def _get(client: Redis, questions: list[tuple[str, bytes]]) -> list[_Pair]:
    names = [name for experiment, key in questions for name in (_definition_key(experiment), _assignment_key(key))]
    found = await client.mget(names)
    return list(zip(found[::2], found[1::2], strict=True))


async def _set(client: Redis, notes: list[tuple[str, bytes, int]]) -> list[None]:
    async with client.pipeline(transaction=False) as pipeline:
        for name, value, milliseconds in notes:
            pipeline.set(name, value, px=milliseconds)
        await pipeline.execute()
    return [None] * len(notes)
