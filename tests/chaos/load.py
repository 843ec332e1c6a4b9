"""A load client that knows what it was promised: every id with the answer it got, or that it got none."""

import random
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import httpx

_BATCH = 20
# Of so few users that most share a row of the outbox with other events, and some do not.
_USERS_A_BATCH = 8
_THREADS = 8
# Some events happened long ago, some come from clocks that are wrong, as far ahead as the API allows.
_SHIFTS = (timedelta(days=-7), timedelta(minutes=-10), timedelta(minutes=4))
# So many batches of a thread to one new user.
_BATCHES_A_USER = 5


class Sent(NamedTuple):
    """An event as it was sent: what a result is computed from."""

    user: str
    event_type: str
    value: int
    timestamp: str | None


@dataclass
class Ledger:
    """Ids by what is known of them, and what was sent under each."""

    acked: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    sent: dict[str, Sent] = field(default_factory=dict)  # without what was refused: that may not be counted
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def snapshot(self) -> set[str]:
        with self.lock:
            return set(self.acked)


class Load:
    """Events for the users of one experiment at a rate, from a few threads, until stopped."""

    def __init__(self, settings: Mapping[str, str], seed: int, rate: float, users: int = 200) -> None:
        self.run = f"chaos-{seed}-{uuid.uuid4().hex[:8]}"
        self.ledger = Ledger()
        self.variants: dict[str, str] = {}
        self.assigned_at: dict[str, str] = {}
        self.last_ack = 0.0
        self._settings = settings
        self._pause = _BATCH * _THREADS / rate
        self._users = [f"{self.run}-{n}" for n in range(users)]
        # Asked for, and no answer seen yet.
        self._unassigned: set[str] = set()
        self._shift: timedelta | None = None
        self._chance = random.Random(f"{self.run}-faults")
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        # Held by its thread for the length of a request.
        self._at_work = [threading.Lock() for _ in range(_THREADS)]

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self._settings["NEONBLUE_API_URL"],
            headers={"Authorization": f"Bearer {self._settings['NEONBLUE_API_TOKEN']}"},
            timeout=10,
            trust_env=False,
        )

    def prepare(self) -> None:
        """An experiment with a proportion and a mean, and every user assigned to it."""
        with self.client() as api:
            for kind, event_type in (("proportion", "click"), ("mean", "purchase")):
                _ok(
                    api.post(
                        "/v1/metrics", json={"key": f"{self.run}.{event_type}", "kind": kind, "event_type": event_type}
                    )
                )
            variants = [{"key": "control", "weight": 0.5, "is_control": True}, {"key": "new", "weight": 0.5}]
            metrics = [f"{self.run}.click", f"{self.run}.purchase"]
            body = {"key": self.run, "name": self.run, "variants": variants, "metrics": metrics}
            _ok(api.post("/v1/experiments", json=body))
            _ok(api.post(f"/v1/experiments/{self.run}/start", json={}))
            for user in self._users:
                assert self._assign(api, user), f"user {user} was not assigned"

    def start(self) -> None:
        for number in range(_THREADS):
            arguments = (random.Random(f"{self.run}-{number}"), self._at_work[number])
            thread = threading.Thread(target=self._work, args=arguments, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Returns when nothing is under way any more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)
            assert not thread.is_alive(), "a thread of the load client did not end"

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is sent inside the block, nothing is under way, and every user's variant is known."""
        with ExitStack() as stack:
            for lock in self._at_work:
                stack.enter_context(lock)
            with self.client() as api:
                for user in sorted(self._unassigned):
                    assert self._assign(api, user), f"nobody knows whether user {user} is assigned"
            yield

    @contextmanager
    def shifted(self, by: timedelta) -> Iterator[None]:
        """Inside the block every event says a time that is so much later than now."""
        self._shift = by
        try:
            yield
        finally:
            self._shift = None

    def event(self) -> dict:
        """An event for who sends it himself; `announce` it before, `promise` it when it was acknowledged."""
        return self._event(self._chance, self._users)

    def announce(self, events: Sequence[dict]) -> None:
        """From now on nothing is known of these: they may or may not be stored."""
        with self.ledger.lock:
            for event in events:
                self.ledger.sent[event["id"]] = Sent(
                    event["user_id"], event["event_type"], event["properties"]["value"], event.get("timestamp")
                )
            self.ledger.unknown |= {event["id"] for event in events} - self.ledger.acked

    def promise(self, events: Sequence[dict]) -> None:
        """These were acknowledged."""
        ids = {event["id"] for event in events}
        with self.ledger.lock:
            self.ledger.acked |= ids
            self.ledger.unknown -= ids

    def refuse(self, events: Sequence[dict]) -> None:
        """These were refused with a reason: none of them may ever be counted."""
        with self.ledger.lock:
            for event in events:
                self.ledger.unknown.discard(event["id"])
                self.ledger.sent.pop(event["id"])
            self.ledger.refused += len(events)

    def _work(self, chance: random.Random, at_work: threading.Lock) -> None:
        waiting: list[dict] | None = None
        api = self.client()
        due = time.monotonic() + chance.random() * self._pause
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            # Late after an outage, it goes on from now: the queue of the time between is nobody's.
            due = max(due + self._pause, time.monotonic() - self._pause)
            with at_work:
                try:
                    waiting = self._send(api, waiting or self._batch(chance), chance)
                    if chance.random() * _BATCHES_A_USER < 1:
                        self._new_user(api, chance)
                except httpx.TransportError:
                    api.close()
                    api = self.client()
            # A client that got no answer sends the same batch again, or gives up.
            if waiting is not None:
                self._stop.wait(0.2)
                waiting = waiting if chance.random() < 0.5 else None
        api.close()

    def _send(self, api: httpx.Client, batch: list[dict], chance: random.Random) -> list[dict] | None:
        """The batch if it was not answered for good, else None."""
        self.announce(batch)
        # Now and then the client goes away between commit and answer.
        patience = 0.004 if chance.random() < 0.02 else 10
        began = time.monotonic()
        try:
            answer = api.post("/v1/events/batch", json={"events": batch}, timeout=patience)
        except httpx.TransportError:
            return batch
        if answer.status_code != 202:
            return batch
        refused = {row["index"] for row in answer.json()["rejected"]}
        self.refuse([event for place, event in enumerate(batch) if place in refused])
        self.promise([event for place, event in enumerate(batch) if place not in refused])
        # Not when the answer came: one that was under way when a fault struck says nothing of the time after it.
        self.last_ack = max(self.last_ack, began)
        return None

    def _new_user(self, api: httpx.Client, chance: random.Random) -> None:
        user = f"{self.run}-{chance.getrandbits(64):x}"
        self._unassigned.add(user)
        if self._assign(api, user):
            self._users.append(user)

    def _assign(self, api: httpx.Client, user: str) -> bool:
        """Whether the API said a variant; `paused` asks again for those of which it did not."""
        answer = api.post(f"/v1/experiments/{self.run}/assignments", json={"user_id": user})
        if answer.status_code not in (200, 201):
            return False
        self.variants[user], self.assigned_at[user] = (answer.json()[name] for name in ("variant_key", "assigned_at"))
        self._unassigned.discard(user)
        return True

    def _batch(self, chance: random.Random) -> list[dict]:
        users = chance.choices(self._users, k=_USERS_A_BATCH)
        return [self._event(chance, users) for _ in range(_BATCH)]

    def _event(self, chance: random.Random, users: Sequence[str]) -> dict:
        event: dict = {
            "id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            "user_id": chance.choice(users),
            "event_type": chance.choice(("click", "purchase", "page_view")),
            "properties": {"value": chance.randrange(1, 100)},
        }
        shift = self._shift or (chance.choice(_SHIFTS) if chance.random() < 0.05 else None)
        if shift is not None:
            event["timestamp"] = (datetime.now(UTC) + shift).isoformat()
        return event


def _ok(answer: httpx.Response) -> dict:
    assert answer.status_code in (200, 201, 202), f"{answer.request.url}: {answer.status_code} {answer.text}"
    return answer.json()
