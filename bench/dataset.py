"""Data of the analytic parts: experiments by the API, then users and facts made by ClickHouse itself (bench/sql).

What these parts measure begins in ClickHouse; sending 100 million events through the API first would take an hour.
Events and assignments go in where the stream's views would pass them on (incoming_*), so that every table behind them,
the marks of what is to be built again included, is as the stream would have left it.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from bench.rig import BenchError, Rig
from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.settings import TOPIC

_SQL = Path(__file__).with_name("sql")
_ARRIVE_S = 60
# Blocks of a million events or journeys would not fit into the engine's memory.
_LIMITS: dict[str, Any] = {"max_insert_threads": 2, "min_insert_block_size_rows": 100_000, "max_block_size": 50_000}
# One statement of ten million events would not, even so.
_AT_ONCE = 1_000_000
_KNOWN = """select experiment_id from experiment_definitions
            where started_at is not null and startsWith(key, {name:String}) order by key"""


class Made(NamedTuple):
    """Experiments by their ids in ClickHouse, in the order of their keys, and the midnight of their start."""

    ids: list[int]
    start: datetime


def experiments(rig: Rig, clickhouse: ClickHouse, name: str, count: int, metrics: dict[str, str]) -> Made:
    """`count` experiments `name`-000 and on, running for four days, once ClickHouse knows them."""
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=4)
    with rig.api() as api:
        rig.make_experiments(api, [f"{name}-{number:03d}" for number in range(count)], metrics, start.isoformat())
    deadline = time.monotonic() + _ARRIVE_S
    while len(found := clickhouse.rows(_KNOWN, {"name": f"{name}-"})) < count:
        if time.monotonic() > deadline:
            raise BenchError(f"{len(found)} of {count} experiments are in ClickHouse after {_ARRIVE_S} s")
        time.sleep(0.1)
    # Each was a draft first.
    rig.settle()
    return Made([int(row[0]) for row in found], start)


def assign(clickhouse: ClickHouse, made: Made, users: int, each: int = 1) -> None:
    """Users 0 to `users`, each in `each` of the experiments, from the start on; marked as new, as by the stream."""
    _insert(clickhouse, "assignments", made, users=users, each=each, ids=made.ids, topic=TOPIC)


def events(clickhouse: ClickHouse, day: datetime, count: int, users: int) -> None:
    """Events of one day that name no experiment, so that each counts for all of its user's; marked, too."""
    for first in range(0, count, _AT_ONCE):
        parameters = {"day": day, "first": first, "count": min(_AT_ONCE, count - first), "users": users, "topic": TOPIC}
        clickhouse.command((_SQL / "events.sql").read_text(), parameters, **_LIMITS)


def user_rollup(clickhouse: ClickHouse, made: Made, metrics: Sequence[str], users: int, each: int) -> None:
    """Rollups of users who are assigned, each with `each` of the metrics."""
    _insert(clickhouse, "user_rollup", made, users=users, each=each, ids=made.ids, metrics=list(metrics))


def journeys(clickhouse: ClickHouse, made: Made, users: int, steps: int) -> None:
    """Journeys of so many steps of the first experiment's users, and its summary."""
    _insert(clickhouse, "user_journeys", made, users=users, steps=steps, experiment_id=made.ids[0])
    clickhouse.command((_SQL / "experiment_summary.sql").read_text())


def series(clickhouse: ClickHouse, made: Made, count: int) -> None:
    """The first experiment by hour and by day: `count` events in three days."""
    _insert(clickhouse, "hourly_metrics", made, events=count, experiment_id=made.ids[0])
    clickhouse.command((_SQL / "daily_metrics.sql").read_text())


def _insert(clickhouse: ClickHouse, name: str, made: Made, **parameters: Any) -> None:
    clickhouse.command((_SQL / f"{name}.sql").read_text(), parameters | {"start": made.start}, **_LIMITS)
