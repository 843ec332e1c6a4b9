"""ClickHouse: a person's rows, what was counted from them, and the files in which both were."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date

from neonblue_pipeline import replay, rollup
from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.errors import ErasureHeld
from neonblue_pipeline.publication import publish
from neonblue_pipeline.settings import Settings
from neonblue_pipeline.sqlfiles import read_sql

_THEM = "(select user_id from erasing_users)"
# What could not be read has no user: there the id is looked for as a word of its own.
_IN_RAW = (
    "arrayExists(one -> match(raw, concat('(^|[^0-9A-Za-z_-])', regexpQuoteMeta(one), '($|[^0-9A-Za-z_-])')), "
    "(select groupArray(user_id) from erasing_users))"
)
_POSITION = "topic, partition, offset, kafka_timestamp"
_LANDED = f"(key in {_THEM} and aggregate_type != 'experiment')"
# In which rows of each table a person is; dead letters first, as some are known by what landed. Mutations are kept as
# text: they name the table of people, and nobody in it.
NAMED_IN = {
    "dead_letters_rows": f"({_POSITION}) in (select {_POSITION} from landing_rows where {_LANDED}) or {_IN_RAW}",  # noqa: S608
    "landing_rows": f"{_LANDED} or (reason != '' and {_IN_RAW})",
    "events_rows": f"user_id in {_THEM}",
    "assignments_rows": f"user_id in {_THEM}",
    "variant_sightings": f"user_id in {_THEM}",
    "dirty_assignments": f"user_id in {_THEM}",
    # Built anew without the person below, but for days whose events retention has dropped.
    "user_rollup": f"user_id in {_THEM}",
    "user_journeys": f"user_id in {_THEM}",
    "user_days": f"user_id in {_THEM}",
}
# Made from those: built anew without the person.
BUILT = tuple(name for name in (*rollup.BY_DAY, *rollup.OF_USERS, "crossed_users") if name not in NAMED_IN)
# Empty but for the length of a build.
PASSING = (
    "attributed_events",
    "user_traits",
    "user_segments",
    *(f"{table}_staging" for table in (*rollup.BY_DAY, *rollup.OF_USERS)),
)
_RESULTS = tuple(f"experiment_{name}_rows" for name in ("results", "segments", "dimensions", "quality"))
_PATIENCE_S = 300
_LOOK_EVERY_S = 0.5


@contextmanager
def named(clickhouse: ClickHouse, people: Sequence[str]) -> Iterator[None]:
    """The table erasing_users holds these people for the length of the block."""
    clickhouse.command("truncate table erasing_users")
    clickhouse.insert("erasing_users", ["user_id"], [[user] for user in people])
    try:
        yield
    finally:
        clickhouse.command("truncate table erasing_users")


def refuse_detached(clickhouse: ClickHouse) -> None:
    """Raises ErasureHeld where parts lie beside their tables, as after a crash: what is in them nobody can delete."""
    found = clickhouse.rows(
        "select table, count() from system.detached_parts where database = currentDatabase() "
        "group by table order by table"
    )
    if found:
        told = ", ".join(f"{table}: {number}" for table, number in found)
        raise ErasureHeld(
            f"ClickHouse keeps detached parts ({told}), which may hold the person; system.detached_parts lists them: "
            "`alter table … attach part` or `drop detached part` with allow_drop_detached = 1"
        )


def traces(clickhouse: ClickHouse) -> dict[str, list[str]]:
    """What is to be built anew: days, experiments, minutes of acceptance, segments. Of the people in erasing_users."""
    found: dict[str, list[str]] = {}
    for row in clickhouse.read("erased_traces"):
        found.setdefault(row["kind"], []).append(row["value"])
    return {kind: sorted(values) for kind, values in found.items()}


def delete(clickhouse: ClickHouse, tell: Callable[[str], None]) -> dict[str, int]:
    """Deletes the rows of the people in erasing_users; returns how many each table had."""
    deleted = {}
    for table, condition in NAMED_IN.items():
        rows = clickhouse.rows(f"select count() from {table} where {condition}")[0][0]  # noqa: S608
        if not rows:
            continue
        clickhouse.command(f"alter table {table} delete where {condition}", mutations_sync=2)
        left = clickhouse.rows(f"select count() from {table} where {condition}")[0][0]  # noqa: S608
        if left:
            raise ErasureHeld(
                f"ClickHouse: {left} rows came into {table} while it was erased; the erasure is done again"
            )
        deleted[table] = rows
        tell(f"ClickHouse: {rows:,} rows deleted from {table}")
    return deleted


def build(clickhouse: ClickHouse, settings: Settings, found: dict[str, list[str]]) -> None:
    """Rollups of the person's days and results of their experiments, made without them; call it under `rollup.lock`."""
    replay.mark_days(clickhouse, [date.fromisoformat(day) for day in found.get("day", [])])
    rollup.build(clickhouse, settings, of_all=True)  # what is gone no longer says what it changes
    experiments = [int(number) for number in found.get("experiment", [])]
    if experiments:
        _forget_results(clickhouse, experiments, found.get("segment", []))
    # All the same: tables that say who is compared are filled here.
    publish(clickhouse)


def _forget_results(clickhouse: ClickHouse, experiments: list[int], segments: list[str]) -> None:
    """Results of the present cut-offs and later, which the person was part of, and those cut by what only they had.

    Without the person an experiment's last fact may be an earlier one: readers take the latest cut-off.
    """
    clickhouse.command("truncate table experiment_cutoffs")
    clickhouse.command(read_sql("clickhouse/compared/experiment_cutoffs"))
    cutoffs = clickhouse.rows(
        "select experiment_id, cutoff_at from experiment_cutoffs where experiment_id in {those:Array(UInt64)} "
        "and experiment_id in (select experiment_id from experiment_quality_rows)",
        {"those": experiments},
    )
    for experiment, cutoff in cutoffs:
        for table in _RESULTS:
            clickhouse.command(
                f"alter table {table} delete where experiment_id = {{x:UInt64}} "
                "and cutoff_at >= {at:DateTime64(6, 'UTC')}",
                {"x": experiment, "at": cutoff},
                mutations_sync=2,
            )
    if alone := sorted(set(segments) - _still_told(clickhouse, segments)):
        # The values come from a table in memory, too: a mutation's text is kept.
        clickhouse.command("truncate table erasing_users")
        clickhouse.insert("erasing_users", ["user_id"], [[value] for value in alone])
        clickhouse.command(f"alter table experiment_segments_rows delete where segment in {_THEM}", mutations_sync=2)


def _still_told(clickhouse: ClickHouse, segments: list[str]) -> set[str]:
    """Those of the values that somebody else has."""
    rows = clickhouse.rows(
        """select toString(arrayJoin([ifNull(device, ''), ifNull(browser, '')])) as value from events_rows
           where value in {values:Array(String)} group by value
           union distinct
           select arrayJoin(dimensions).2 as value from assignments_rows
           where value in {values:Array(String)} group by value""",
        {"values": segments},
    )
    return {row[0] for row in rows}


@contextmanager
def files_removed(clickhouse: ClickHouse) -> Iterator[None]:
    """What the block's mutations and swaps replace is removed from the disk by its end, not eight minutes later.

    Those minutes are there because a power loss could take the new part: so that is written through.

    Raises ErasureHeld.
    """
    for table in NAMED_IN:
        clickhouse.command(
            f"alter table {table} modify setting min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 1"
        )
    for table in (*BUILT, *PASSING, *_RESULTS):
        clickhouse.command(f"alter table {table} modify setting old_parts_lifetime = 1")
    try:
        yield
        replaced = _old_parts(clickhouse)
        deadline = time.monotonic() + _PATIENCE_S
        # Where events stream in, merges replace parts all the time: only those of the block are waited for.
        while left := replaced & _old_parts(clickhouse):
            if time.monotonic() > deadline:
                raise ErasureHeld(
                    f"ClickHouse still keeps {len(left)} old parts; a query that reads them may be under way"
                )
            time.sleep(_LOOK_EVERY_S)
    finally:
        for table in NAMED_IN:
            clickhouse.command(f"alter table {table} reset setting min_rows_to_fsync_after_merge, old_parts_lifetime")
        for table in (*BUILT, *PASSING, *_RESULTS):
            clickhouse.command(f"alter table {table} reset setting old_parts_lifetime")


def _old_parts(clickhouse: ClickHouse) -> set[tuple[str, str]]:
    """Table and name of the parts that are on disk, and in no query any more."""
    rows = clickhouse.rows(
        "select table, name from system.parts where database = currentDatabase() and not active "
        "and table in {tables:Array(String)}",
        {"tables": [*NAMED_IN, *BUILT, *PASSING, *_RESULTS]},
    )
    return {(row[0], row[1]) for row in rows}
