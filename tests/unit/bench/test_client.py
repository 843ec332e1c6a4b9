import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from bench import client
from bench.client import Plan, Target
from bench.feeds import Reads

_FEED = Reads([("page", "/page")])
_REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def server(silent_from: float = 0, silent_to: float = 0) -> Iterator[tuple[Target, list[float]]]:
    """Answers at once, but for a span of seconds after its first request, in which it says nothing to anybody.

    With it comes the time.monotonic() of the first request, once there was one.
    """
    loop = asyncio.new_event_loop()
    began: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (await reader.readline()).startswith(b"GET"):
            while (await reader.readline()).strip():
                pass
            began.append(loop.time()) if not began else None
            since = loop.time() - began[0]
            if silent_from <= since < silent_to:
                await asyncio.sleep(silent_to - since)
            writer.write(_REPLY)
        writer.close()

    made = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield Target(f"http://127.0.0.1:{made.sockets[0].getsockname()[1]}", "token"), began
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def test_a_server_that_stands_still_is_seen_by_every_request_of_that_time():
    """With one connection a closed loop would have seen a single slow request."""
    with server(0.5, 1.0) as (target, began):
        outcome = client.run(target, Plan(_FEED, connections=1, seconds=2, rate=200)).only(200)
    due, done = outcome.due - began[0], outcome.done - began[0]
    in_silence = (due > 0.51) & (due < 1.0)  # a timer may be a millisecond early
    assert in_silence.sum() > 20
    assert np.all(done[in_silence] >= 1.0)
    assert outcome.latency_of("page").size == len(outcome.labels)


def test_requests_are_as_many_as_planned_whatever_the_rate():
    with server() as (target, _):
        outcome = client.run(target, Plan(_FEED, connections=4, seconds=30, requests=57))
    assert outcome.statuses == {200: 57}
    assert len(outcome.labels) == 57


def test_a_reply_of_another_status_is_no_result():
    with server() as (target, _):
        outcome = client.run(target, Plan(_FEED, connections=1, seconds=5, requests=3))
    with pytest.raises(RuntimeError, match="expected only"):
        outcome.only(202)
