"""The load client: HTTP over kept connections, open loop, in a process of its own; knows what it costs itself.

A request is due at a time that was planned before, whatever the server does, and its latency counts from then: a server
that stands still for a second is seen by all the requests of that second (no coordinated omission). Timers have a
resolution of a millisecond, which is in the latencies. Without a rate every request is due at once, and the connections
send as fast as they are answered: that measures capacity, not latency.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import cast
from urllib.parse import urlsplit

import httptools
import msgspec
import numpy as np
import uvloop
from numpy.typing import NDArray

from bench.feeds import Call, Feed

_GRACE_S = 30
# What is not sent so long after the end is not sent any more: the rate is not held, and more would only take time.
_OVERTIME_S = 5


@dataclass(frozen=True)
class Target:
    """Where to, as whom."""

    url: str
    token: str


@dataclass(frozen=True)
class Plan:
    """`rate`: requests a second at random (Poisson) times, None: all due at once; for `seconds` or `requests`."""

    feed: Feed
    connections: int
    seconds: float
    rate: float | None = None
    requests: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of each request, in the order of the replies; times are time.monotonic() in seconds.

    accepted: events that the replies say are stored; where they say nothing, those of a 2xx request.
    cpu_s: processor time of the client between first and last request, making the bodies included.
    """

    due: NDArray[np.float64]
    sent: NDArray[np.float64]
    done: NDArray[np.float64]
    accepted: NDArray[np.int64]
    labels: list[str]
    statuses: Counter[int]
    event_bytes: int
    cpu_s: float

    @property
    def latency_ms(self) -> NDArray[np.float64]:
        return (self.done - self.due) * 1e3

    @property
    def seconds(self) -> float:
        """From the first request to the last reply."""
        return float(self.done.max() - self.sent.min())

    @property
    def events(self) -> int:
        return int(self.accepted.sum())

    def latency_of(self, label: str) -> NDArray[np.float64]:
        return self.latency_ms[[one == label for one in self.labels]]

    def only(self, *statuses: int) -> "Outcome":
        """Itself; raises RuntimeError if a reply had another status or none came."""
        if not self.labels or set(self.statuses) - set(statuses):
            raise RuntimeError(f"replies by status: {dict(self.statuses) or 'none'}; expected only {statuses}")
        return self


@contextmanager
def started(target: Target, plan: Plan) -> "Iterator[Future[Outcome]]":
    """The client at work in another process for the length of the block."""
    # spawn: a fork would take over this process's connections.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield pool.submit(_run, target, plan)


def run(target: Target, plan: Plan) -> Outcome:
    with started(target, plan) as future:
        return future.result()


def _run(target: Target, plan: Plan) -> Outcome:
    return uvloop.run(_load(target, plan))


def _due_times(plan: Plan, start: float) -> Iterator[float]:
    chance = random.Random()  # noqa: S311
    due, number = start, 0
    while plan.requests is None or number < plan.requests:
        number += 1
        if plan.rate is None:
            if time.monotonic() > start + plan.seconds:
                return
            yield start
        else:
            due += chance.expovariate(plan.rate)
            if due > start + plan.seconds:
                return
            yield due


async def _load(target: Target, plan: Plan) -> Outcome:
    calls = plan.feed.calls()
    # Everything that is made ahead is made by the first call.
    first: Call | None = next(calls, None)
    url = urlsplit(target.url)
    host, port = url.hostname or "", url.port or 80
    loop = asyncio.get_running_loop()

    async def connect() -> "_Connection":
        return (await loop.create_connection(_Connection, host, port))[1]

    connections = [await connect() for _ in range(plan.connections)]
    found: list[tuple[float, float, float, int, str]] = []
    statuses: Counter[int] = Counter()
    event_bytes = 0
    began, cpu = time.monotonic(), time.process_time()
    dues = _due_times(plan, began)
    head = f"Host: {url.netloc}\r\nAuthorization: Bearer {target.token}\r\nContent-Type: application/json\r\n"

    async def work(connection: "_Connection") -> None:
        nonlocal first, event_bytes
        for due in dues:
            if plan.rate is not None and time.monotonic() > began + plan.seconds + _OVERTIME_S:
                break
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            call, first = first or next(calls, None), None
            if call is None:
                break
            text = f"{call.method} {call.path} HTTP/1.1\r\n{head}Content-Length: {len(call.body)}\r\n\r\n"
            sent = time.monotonic()
            # Servers close connections that were idle for some seconds.
            connection = connection if connection.is_open else await connect()
            status, body = await connection.ask(text.encode() + call.body)
            statuses[status] += 1
            event_bytes += call.event_bytes
            accepted = 0
            if 200 <= status < 300:
                accepted = msgspec.json.decode(body, type=_Stored).accepted if call.events > 1 else 1
            found.append((due, sent, time.monotonic(), accepted, call.label))
        connection.close()

    async with asyncio.timeout(plan.seconds + _GRACE_S):
        await asyncio.gather(*(work(connection) for connection in connections))
    cpu = time.process_time() - cpu
    times = np.array([one[:3] for one in found]).reshape(-1, 3)
    accepted, labels = np.array([one[3] for one in found], dtype=np.int64), [one[4] for one in found]
    due, sent, done = times[:, 0], times[:, 1], times[:, 2]
    return Outcome(due, sent, done, accepted, labels, statuses, event_bytes, cpu)


class _Stored(msgspec.Struct):
    accepted: int


class _Connection(asyncio.Protocol):
    """One request at a time over one connection; status 0 and no body where the server closed it meanwhile."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._waiter: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiter

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status, body = self._parser.get_status_code(), b"".join(self._body)
        self._parser, self._body = httptools.HttpResponseParser(self), []
        self._answer(status, body)

    def connection_lost(self, error: Exception | None) -> None:
        self._answer(0, b"")

    def _answer(self, status: int, body: bytes) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result((status, body))
