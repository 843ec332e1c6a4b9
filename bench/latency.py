"""Part `latency`: how long a caller waits, and how long until an event can be queried, far below capacity."""

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench import client, references
from bench.client import Plan
from bench.feeds import Feed, NewAssignments, RepeatAssignments, Singles
from bench.figures import Figure
from bench.rig import EXPERIMENT, BenchError, Rig

_LOOK_EVERY_S = 0.02  # asking every 5 ms takes a sixth of a core more from what is measured
_PATIENCE_S = 60


def measure(rig: Rig) -> Iterator[Figure]:
    rig.population()
    rig.settle()
    yield from _visibility(rig, rig.pick(30, 10))
    commit_ms = 1e3 / references.commits(rig, rig.pick(3, 1))
    feeds: tuple[tuple[str, Feed, float, tuple[int, ...]], ...] = (
        ("202 for an event, 200 requests/s", Singles(rig.users, "single"), 15, (202,)),
        ("new assignment, durable, 200 requests/s", NewAssignments(EXPERIMENT), 15, (201,)),
        ("repeat assignment, 200 requests/s", RepeatAssignments(EXPERIMENT, rig.users), 8, (200,)),
    )
    for name, feed, goal, statuses in feeds:
        outcome = client.run(rig.target, Plan(feed, 64, rig.pick(20, 5), 200)).only(*statuses)
        p50, p99 = np.percentile(outcome.latency_ms, (50, 99))
        note = f"{len(outcome.labels):,} requests; client {outcome.cpu_s * 1e6 / len(outcome.labels):.0f} CPU µs each"
        yield Figure("latency", f"{name}, p50", float(p50), "ms", None, "less", "a commit alone", commit_ms)
        yield Figure("latency", f"{name}, p99", float(p99), "ms", goal, "less", note=note)


def _visibility(rig: Rig, seconds: float) -> Iterator[Figure]:
    """From the 202, which follows the commit at once, to the answer of the first query that finds the event."""
    prefix = f"seen-{time.time_ns():x}"
    plan = Plan(Singles(rig.users, prefix), 32, seconds, 100)
    seen: dict[str, float] = {}
    recent = "and created_at > now64(6) - toIntervalSecond(3)"
    looks, cost = 0, 0.0
    with rig.clickhouse() as clickhouse, client.started(rig.target, plan) as future:

        def look(also: str) -> None:
            asked = time.monotonic()
            rows = clickhouse.rows(
                f"select toString(id) from events_rows where startsWith(user_id, '{prefix}') {also}"  # noqa: S608
            )
            now = time.monotonic()
            for (one,) in rows:
                seen.setdefault(one, now)
            nonlocal looks, cost
            looks, cost = looks + 1, cost + now - asked

        while not future.done():
            look(recent)
            time.sleep(_LOOK_EVERY_S)
        outcome = future.result().only(202)
        deadline = time.monotonic() + _PATIENCE_S
        while missing := set(outcome.labels) - set(seen):
            if time.monotonic() > deadline:
                raise BenchError(f"{len(missing):,} events are not visible after {_PATIENCE_S} s")
            look("")
    visible = np.array([seen[label] for label in outcome.labels])
    note = f"{len(visible):,} events; asked {looks:,} times, {cost / looks * 1e3:.1f} ms a query, which is included"
    yield from _quantiles(
        "commit to visible in ClickHouse, 100 events/s", (visible - outcome.done) * 1e3, 100, 250, note
    )
    yield from _quantiles("request due to visible, the same events", (visible - outcome.due) * 1e3, None, None, "")


def _quantiles(
    name: str, ms: NDArray[np.float64], median: float | None, p99: float | None, note: str
) -> Iterator[Figure]:
    for q, goal in ((50, median), (99, p99)):
        yield Figure("latency", f"{name}, p{q}", float(np.percentile(ms, q)), "ms", goal, "less", note=note)
        note = ""
