"""What a load client sends next: whole batches, single events, assignments, reads. Made in the client's process."""

import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import msgspec
import numpy as np

from bench.traffic import Batch, Population, events


class Call(NamedTuple):
    """One request. `label` comes back with its reply; `events` is how many it carries, `event_bytes` their JSON."""

    method: str
    path: str
    body: bytes
    label: str = ""
    events: int = 1
    event_bytes: int = 0


class Feed(Protocol):
    """Describes what is sent, small enough to be handed to another process; `calls` makes it there."""

    def calls(self) -> Iterator[Call]: ...


@dataclass(frozen=True)
class Batches:
    """Batches of `size`, made `templates` times ahead and sent again and again with new ids and times.

    `prefix` tells its users from those of others. So many sessions take turns, an event each; 1: one after the other.
    """

    users: int
    experiment: str | None
    size: int = 500
    templates: int = 100
    seed: int = 1
    prefix: str = "u"
    sessions_at_once: int = 1

    def calls(self) -> Iterator[Call]:
        # Seeded: the load is the same in every run.
        chance, ids = random.Random(self.seed), np.random.default_rng()  # noqa: S311
        population = Population(self.users, self.prefix)
        sessions = [events(population, chance, self.experiment) for _ in range(self.sessions_at_once)]
        source = (next(session) for session in cycle(sessions))
        made = [Batch(source, self.size) for _ in range(self.templates)]
        while True:
            for batch in made:
                yield Call("POST", "/v1/events/batch", batch.body(ids), "", self.size, batch.event_bytes)


@dataclass(frozen=True)
class DistinctBatches:
    """`count` events in batches of 500, no two alike; for what must not be helped by repetition."""

    count: int
    users: int
    prefix: str
    seed: int = 2

    def calls(self) -> Iterator[Call]:
        chance, ids = random.Random(self.seed), np.random.default_rng()  # noqa: S311
        source = events(Population(self.users, self.prefix), chance, None)
        for _ in range(self.count // 500):
            batch = Batch(source, 500)
            yield Call("POST", "/v1/events/batch", batch.body(ids), "", 500, batch.event_bytes)


@dataclass(frozen=True)
class Singles:
    """One event a request; `label` is its id. Made when it is sent, which costs some 10 µs."""

    users: int
    prefix: str
    seed: int = 3

    def calls(self) -> Iterator[Call]:
        chance = random.Random()  # noqa: S311 - ids must be new in every run
        for event in events(Population(self.users, self.prefix), chance, None):
            body = msgspec.json.encode(event)
            yield Call("POST", "/v1/events", body, event["id"], 1, len(body))


@dataclass(frozen=True)
class NewAssignments:
    """Users that nobody has seen before ask for their variant."""

    experiment: str

    def calls(self) -> Iterator[Call]:
        while True:
            body = msgspec.json.encode({"user_id": f"new-{uuid.uuid4()}"})
            yield Call("POST", f"/v1/experiments/{self.experiment}/assignments", body)


@dataclass(frozen=True)
class RepeatAssignments:
    """Users who have a variant ask for it again."""

    experiment: str
    users: int

    def calls(self) -> Iterator[Call]:
        population, chance = Population(self.users), random.Random(4)  # noqa: S311
        while True:
            body = msgspec.json.encode({"user_id": population.draw(chance)})
            yield Call("POST", f"/v1/experiments/{self.experiment}/assignments", body)


@dataclass(frozen=True)
class Reads:
    """GETs of these (label, path), in turn; `{user}` becomes a random user's name."""

    paths: Sequence[tuple[str, str]]
    users: int = 1
    prefix: str = "u"

    def calls(self) -> Iterator[Call]:
        population, chance = Population(self.users, self.prefix), random.Random(5)  # noqa: S311
        while True:
            for label, path in self.paths:
                yield Call("GET", path.replace("{user}", quote(population.draw(chance))), b"", label)


def assignment_batches(experiment: str, users: int, variants: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Bodies for /v1/assignments/batch that put every user of a Population into a variant, 5,000 a body."""
    population = Population(users)
    for first in range(0, users, 5000):
        yield {
            "assignments": [
                {"experiment": experiment, "user_id": population.name(n), "variant_key": variants[n % len(variants)]}
                for n in range(first, min(first + 5000, users))
            ]
        }
