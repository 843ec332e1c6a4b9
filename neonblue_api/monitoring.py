"""What the API counts of itself, for Prometheus: requests, events, connections to PostgreSQL.

Labels are bounded: routes are templates, methods and error codes are lists in the code; no key, user or token is one.
Several processes behind one port (`uvicorn --workers`) write into the folder that PROMETHEUS_MULTIPROC_DIR names, and
any of them answers for all; the folder is emptied before the first one starts. prometheus-client reads that variable
when it is imported.
"""

import os
import re
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from sqlalchemy import Engine, event
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neonblue_api.errors import ApiError

# A reply or a 503 comes within two seconds; results may read ClickHouse for ten.
_SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Where no route has the path: what a stranger asks for must not become a label.
NO_ROUTE = "none"

_registry = CollectorRegistry()
_requests = Counter(
    "neonblue_api_requests",
    "Requests that were answered, by route template and status code.",
    ["method", "route", "status"],
    registry=_registry,
)
_seconds = Histogram(
    "neonblue_api_request_duration_seconds",
    "From the request's head to the last byte of the reply.",
    ["method", "route"],
    buckets=_SECONDS,
    registry=_registry,
)
_events = Counter(
    "neonblue_api_events",
    "Events by outcome: accepted (stored), duplicate (stored before), rejected (with the error code).",
    ["outcome", "code"],
    registry=_registry,
)
_last_accepted = Gauge(
    "neonblue_api_last_accepted_timestamp_seconds",
    "Unix time at which an event was stored last.",
    multiprocess_mode="max",
    registry=_registry,
)
_in_use = Gauge(
    "neonblue_api_pool_connections_in_use",
    "Connections to PostgreSQL that a request holds now.",
    multiprocess_mode="livesum",
    registry=_registry,
)
_limit = Gauge(
    "neonblue_api_pool_connections_limit",
    "Connections to PostgreSQL that may be held at once (NEONBLUE_POOL_SIZE times processes).",
    multiprocess_mode="livesum",
    registry=_registry,
)
_accepted = _events.labels("accepted", "")
_duplicate = _events.labels("duplicate", "")
_rejected: dict[str, Counter] = {}


def count_events(accepted: int = 0, duplicates: int = 0, rejected: Iterable[str] = ()) -> None:
    """Adds what became of a request's events; `rejected` are error codes, one an event."""
    if accepted:
        _accepted.inc(accepted)
        _last_accepted.set(time.time())
    if duplicates:
        _duplicate.inc(duplicates)
    for code in rejected:
        child = _rejected.get(code)
        if child is None:
            child = _rejected[code] = _events.labels("rejected", code)
        child.inc()


def count_refused(error: ApiError) -> None:
    """One event that was refused; after a 5xx, or where the client hung up (499), it is open and sent again."""
    if error.status < 499:
        count_events(rejected=(error.code,))


def watch_pool(engine: Engine, size: int) -> None:
    """Follows the pool of this engine, of at most `size` connections."""
    _limit.set(size)
    _in_use.set(0)
    event.listen(engine, "checkout", lambda *_: _in_use.inc())
    event.listen(engine, "checkin", lambda *_: _in_use.dec())


def exposition() -> bytes:
    """Everything in Prometheus' text format, of all processes of this API."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return generate_latest(_registry)
    _forget_the_dead(folder)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, folder)
    return generate_latest(registry)


def _forget_the_dead(folder: str) -> None:
    """Gauges of processes that are gone; their counters stay, as the sums of all time must not shrink."""
    for path in Path(folder).glob("gauge_live*.db"):
        found = re.search(r"_(\d+)\.db$", path.name)
        if found and not _lives(int(found[1])):
            multiprocess.mark_process_dead(int(found[1]), folder)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


class RequestMeter:
    """As a middleware: counts every request and its seconds by the route that answered it.

    An instrumentator would look for the route a second time, on the path where routes are not looked for at all.
    """

    def __init__(self, app: ASGIApp, direct: Collection[tuple[str, str]]) -> None:
        self._app = app
        self._direct = direct
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        try:
            await self._app(scope, receive, noted)
        finally:
            self._count(scope, status, time.perf_counter() - began)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        key = (method, self._route(scope), status)
        children = self._known.get(key)
        if children is None:
            counter = _requests.labels(method, key[1], str(status))
            children = self._known[key] = (counter, _seconds.labels(method, key[1]))
        children[0].inc()
        children[1].observe(seconds)

    def _route(self, scope: Scope) -> str:
        if (scope["method"], scope["path"]) in self._direct:
            path: str = scope["path"]
            return path
        route: Any = scope.get("route")
        return getattr(route, "path", NO_ROUTE)
