"""Builds rollups for the days that changed: from deduplicated rows, into staging, swapped in whole. No Dagster.

A user who is assigned brings along the history of the 14 days before. Those days are not built again, their user_rollup
gets the rows: every minute of a live site has such users, and each time two weeks would be built again for them.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

import psycopg

from neonblue_pipeline import kafka, locks
from neonblue_pipeline.clickhouse import ClickHouse, connect
from neonblue_pipeline.errors import RollupBusy
from neonblue_pipeline.settings import TOPIC, Settings
from neonblue_pipeline.sqlfiles import read_sql

Key = TypeVar("Key", int, date)

BY_DAY = ("user_rollup", "hourly_metrics", "daily_metrics", "user_journeys")
# As BY_DAY, but of no experiment: what is true of a user whatever he takes part in.
OF_USERS = ("user_days",)
# In the order of building: user_journeys asks user_days how many events a user has.
_REBUILT = (*OF_USERS, *BY_DAY)
SUMMARY = "experiment_summary"
_ATTRIBUTED = "attributed_events"
# In portions of so many events: what does not fit into memory the engine groups on disk, two to four times as slowly.
_IN_PORTIONS = ("user_rollup", "user_journeys")
_PORTION = 1_000_000
# A late import may span years: staging takes any number of days in one insert.
_MANY_PARTITIONS: dict[str, Any] = {"max_partitions_per_insert_block": 0}
_DEFINITION = ("experiment_id", "revision", "started_at", "stopped_at", "metrics")
_LOCK = "rollups"
# For how long another holder of the lock, or what an earlier one left at work, is waited for.
_PATIENCE_S = 120
# In front of the comment of each statement of a holder.
_HELD = "holder of the rollups:"
# A statement that was sent is in system.processes by then; it takes milliseconds.
_SENT_S = 1


@dataclass
class Rolled:
    """What one build did: the days and why they were dirty, rows per table, seconds, marks left for the next build.

    histories: rows of user_rollup that were added to days which stand as they are.
    """

    days: dict[date, list[str]]
    histories: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    attributed_events: int = 0
    seconds: float = 0.0
    marks_left: int = 0


@contextmanager
def lock(settings: Settings, comment: str) -> Iterator[ClickHouse]:
    """One builder at a time, in all processes; released by PostgreSQL when the process dies. Raises RollupBusy.

    What its holder writes goes through the client that it gives. ClickHouse brings a statement that writes to its end
    although its client is gone: the next holder finds it by its comment and ends it, or rows would be there twice.
    Unseen is what was sent and has not begun: who waited for the lock, and may have it from a process that died just
    now, looks a second later; who comes later finds it begun.
    """
    with (
        psycopg.connect(settings.postgres_url, autocommit=True) as connection,
        connect(settings, comment) as clickhouse,
    ):
        if not locks.try_take(connection, _LOCK):
            connection.execute(f"set lock_timeout = '{_PATIENCE_S}s'".encode())
            try:
                locks.take(connection, _LOCK)
            except psycopg.errors.LockNotAvailable:
                raise RollupBusy(
                    f"another process has been building rollups for more than {_PATIENCE_S} s; see the running Dagster "
                    "runs, and pg_locks in PostgreSQL for its connection"
                ) from None
            time.sleep(_SENT_S)
        _end_statements_of_earlier_holders(clickhouse)
        yield clickhouse.with_comment(f"{_HELD} {comment}")


def _end_statements_of_earlier_holders(clickhouse: ClickHouse) -> None:
    """`clickhouse` has a comment of another kind, or the holder would find itself."""
    theirs = f"startsWith(Settings['log_comment'], '{_HELD}')"
    until = time.monotonic() + _PATIENCE_S
    while clickhouse.rows(f"select 1 from system.processes where {theirs} limit 1"):  # noqa: S608
        if time.monotonic() > until:
            raise RollupBusy(
                f"ClickHouse has not ended in {_PATIENCE_S} s what a process that built rollups and is gone left at "
                f"work; see its system.processes where {theirs}, and restart it if that does not end"
            )
        clickhouse.command(f"kill query where {theirs} async")
        time.sleep(0.1)


def build(clickhouse: ClickHouse, settings: Settings, *, of_all: bool = False) -> Rolled:
    """Rebuilds the dirty days of all rollups, and the summary; call it under `lock`. Again, it changes nothing.

    of_all: summary, and then results (`publication.publish`), are made of all experiments, and else of those that may
        have changed.

    A mark is deleted when its block was committed before the build began: only then is it sure that every row it
    tells of was read. Marks of blocks still on their way make their day be built again next time.
    """
    started = time.monotonic()
    committed = kafka.committed_offsets(settings)
    seen_until = clickhouse.rows("select now64(6)")[0][0]
    # Read after the clock: what was marked before it lies before these ends, or is of a topic that was deleted.
    ends = {number: end for number, (_, end) in kafka.end_offsets(settings).items()}
    definitions = clickhouse.rows(f"select {', '.join(_DEFINITION)} from experiment_definitions")  # noqa: S608
    last_dropped = days_without_events_until(clickhouse)
    dirty = [row for row in clickhouse.read("dirty_days") if row["day"] > last_dropped]
    rolled = Rolled(days={row["day"]: row["causes"] for row in dirty})
    arrived = {row["day"]: row["events"] for row in dirty}
    before = {row["day"]: row["events"] for row in clickhouse.read("history_days") if row["day"] > last_dropped}
    for days in batches({day: before[day] for day in before.keys() - arrived.keys()}, settings.rollup_batch_events):
        for day in _add_histories(clickhouse, days, rolled):
            rolled.days[day], arrived[day] = ["assignments"], 0
    for days in batches(_events_of(clickhouse, arrived), settings.rollup_batch_events):
        rolled.attributed_events += _build_days(clickhouse, days, rolled.rows)
    tell_changed(clickhouse, list(rolled.days), of_all=of_all)
    rolled.rows[SUMMARY] = _build_summary(clickhouse)
    clickhouse.insert("rolled_definitions", _DEFINITION, definitions)
    rolled.marks_left = _forget_marks(clickhouse, committed, ends, seen_until)
    rolled.seconds = time.monotonic() - started
    return rolled


def tell_changed(clickhouse: ClickHouse, days: list[date], *, of_all: bool) -> None:
    """Adds to changed_experiments those that may differ now that `days` are built, while what marked them is there."""
    clickhouse.command(read_sql("clickhouse/rollups/changed_experiments"), {"days": days, "all": of_all})


def days_without_events_until(clickhouse: ClickHouse) -> date:
    """The last day whose events retention may have dropped: nothing up to then can be counted again."""
    found: date = clickhouse.rows("select max(until) from raw_events_dropped")[0][0]
    return found


def batches(sizes: Mapping[Key, int], limit: int) -> Iterator[list[Key]]:
    """Keys in their order, as many at once as together have at most `limit`, or one that has more alone."""
    batch: list[Key] = []
    size = 0
    for key, of_key in sorted(sizes.items()):
        if batch and size + of_key > limit:
            yield batch
            batch, size = [], 0
        batch.append(key)
        size += of_key
    if batch:
        yield batch


def portions(sizes: Mapping[int, int], limit: int) -> Iterator[dict[str, int]]:
    """Parameters of statements: experiments {first} to {last} that together have at most `limit` rows, or one that has
    more in {buckets} of its users, each {bucket} alone.

    Args: sizes: experiment → rows.
    """
    for experiments in batches(sizes, limit):
        buckets = max(1, -(-sum(sizes[one] for one in experiments) // limit))
        for bucket in range(buckets):
            yield {"first": experiments[0], "last": experiments[-1], "buckets": buckets, "bucket": bucket}


def rows_by_experiment(clickhouse: ClickHouse, table: str) -> dict[int, int]:
    """Experiment → rows of a table; those without any are left out."""
    found = clickhouse.rows(f"select experiment_id, count() from {table} group by experiment_id")  # noqa: S608
    return {int(experiment): int(rows) for experiment, rows in found}


def _events_of(clickhouse: ClickHouse, arrived: Mapping[date, int]) -> dict[date, int]:
    """Day → its events, at most: what it was built with and what has `arrived` since. It is read as a whole."""
    built = clickhouse.rows(
        "select day, sum(events) from user_days where day in {days:Array(Date32)} group by day", {"days": list(arrived)}
    )
    known = {day: int(events) for day, events in built}
    return {day: known.get(day, 0) + events for day, events in arrived.items()}


def _add_histories(clickhouse: ClickHouse, days: list[date], rolled: Rolled) -> list[date]:
    """Adds to user_rollup what users who were assigned since did on `days` before; returns days to be built as a whole.

    Those are days on which such a user has other rows already: of an assignment that was another.
    """
    _stage(clickhouse, days, ["user_rollup"], history=True)
    stale = [row["day"] for row in clickhouse.read("stale_histories", days=days)]
    before = _rows_of(clickhouse, "user_rollup")
    clickhouse.command(
        read_sql("clickhouse/rollups/histories"), {"days": sorted(set(days) - set(stale))}, **_MANY_PARTITIONS
    )
    rolled.histories += _rows_of(clickhouse, "user_rollup") - before
    _truncate(clickhouse, _staged_rows(clickhouse))
    return stale


def _build_days(clickhouse: ClickHouse, days: list[date], rows: dict[str, int]) -> int:
    """Builds `days` of every rollup in staging and swaps them in; returns the number of attributed events."""
    _stage(clickhouse, days, _REBUILT, history=False)
    staged = _staged_rows(clickhouse)
    for name in _REBUILT:
        filled = staged.get(f"{name}_staging", {})
        # REPLACE from an empty partition would keep nothing and say nothing: a day without rows is dropped.
        swaps = (
            f"replace partition '{day}' from {name}_staging" if str(day) in filled else f"drop partition '{day}'"
            for day in days
        )
        clickhouse.command(f"alter table {name} {', '.join(swaps)}")
        rows[name] = rows.get(name, 0) + sum(filled.values())
    _truncate(clickhouse, staged)
    return sum(staged.get(_ATTRIBUTED, {}).values())


def _stage(clickhouse: ClickHouse, days: list[date], names: Sequence[str], *, history: bool) -> None:
    """Fills the staging tables of `names` for `days`; what `history` is: sql/clickhouse/rollups/attributed_events."""
    _truncate(clickhouse, _staged_rows(clickhouse))  # a build that was killed may have left rows
    # The table's parts are written by two threads; the rollups, which are smaller, gain nothing by it.
    clickhouse.command(
        read_sql("clickhouse/rollups/attributed_events"), {"days": days, "history": history}, max_insert_threads=2
    )
    in_portions = list(portions(rows_by_experiment(clickhouse, _ATTRIBUTED), _PORTION))
    for name in names:
        for parameters in in_portions if name in _IN_PORTIONS else [{"days": days} if name in OF_USERS else None]:
            clickhouse.command(read_sql(f"clickhouse/rollups/{name}"), parameters, **_MANY_PARTITIONS)


def _rows_of(clickhouse: ClickHouse, table: str) -> int:
    found: int = clickhouse.rows(f"select count() from {table}")[0][0]  # noqa: S608
    return found


def _staged_rows(clickhouse: ClickHouse) -> dict[str, dict[str, int]]:
    """Table → partition → rows, of the tables that hold something."""
    found = clickhouse.rows(
        "select table, partition, sum(rows) from system.parts "
        "where database = currentDatabase() and table in {tables:Array(String)} and active group by table, partition",
        {"tables": [_ATTRIBUTED, *(f"{name}_staging" for name in _REBUILT)]},
    )
    staged: dict[str, dict[str, int]] = {}
    for table, partition, count in found:
        staged.setdefault(table, {})[partition] = count
    return staged


def _truncate(clickhouse: ClickHouse, tables: Iterable[str]) -> None:
    for table in tables:
        clickhouse.command(f"truncate table {table}")


def _build_summary(clickhouse: ClickHouse) -> int:
    clickhouse.command(f"truncate table {SUMMARY}_staging")
    clickhouse.command(read_sql(f"clickhouse/rollups/{SUMMARY}"))
    count = _rows_of(clickhouse, f"{SUMMARY}_staging")
    clickhouse.command(
        f"alter table {SUMMARY} replace partition tuple() from {SUMMARY}_staging"
        if count
        else f"truncate table {SUMMARY}"
    )
    return count


def _forget_marks(clickhouse: ClickHouse, committed: dict[int, int], ends: dict[int, int], seen_until: Any) -> int:
    """Deletes the marks of blocks committed before the build, and of an earlier topic; returns how many marks stay."""
    done = " or ".join(
        [f"(partition = {p} and last_offset < {offset})" for p, offset in sorted(committed.items())]
        + [f"(partition = {p} and last_offset >= {end})" for p, end in sorted(ends.items())]
    )
    left = 0
    for table in ("dirty_days", "dirty_assignments"):
        if done:
            clickhouse.command(
                f"alter table {table} delete "
                f"where topic = {{topic:String}} and marked_at <= {{seen:DateTime64(6, 'UTC')}} and ({done})",
                {"topic": TOPIC, "seen": seen_until},
                mutations_sync=2,
            )
        left += _rows_of(clickhouse, table)
    return left
