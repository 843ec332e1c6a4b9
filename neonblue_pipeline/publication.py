"""Publishes results of the experiments that changed: reads what tests need, writes rows in the order readers want."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.rollup import batches, portions, rows_by_experiment
from neonblue_pipeline.segments import DIMENSION_COLUMNS, SEGMENT_COLUMNS, analyse_segments
from neonblue_pipeline.significance import QUALITY_COLUMNS, RESULT_COLUMNS, analyse
from neonblue_pipeline.sqlfiles import read_sql


class _Step(NamedTuple):
    """A table to fill, by the file of its name or `file`; only where a metric's terms meet the condition `needs`.

    by: "" where its statement takes no parameters; "portions" where it takes {first} and {last}; "users" where it takes
        a bucket of their users, too.
    """

    table: str
    file: str = ""
    needs: str = ""
    by: str = ""


# In this order, each from those before it. Analysing a statement takes as long as running it on a small database.
_STEPS = (
    _Step("experiment_cutoffs"),
    _Step("metric_terms"),
    _Step("assigned_counts"),
    _Step("compared_counts"),
    _Step("metric_caps", needs="cap_percentile is not null", by="portions"),
    _Step("metric_units"),
    _Step("metric_sums", "metric_sums_of_values", needs="not counted and kind != 'ratio'", by="users"),
    _Step("metric_sums", "metric_sums_of_ratios", needs="kind = 'ratio'", by="users"),
    _Step("metric_sums", "metric_sums_of_counts", needs="counted and kind != 'funnel'", by="users"),
    _Step("metric_sums", "metric_sums_of_funnels", needs="kind = 'funnel'", by="users"),
    _Step("metric_quantiles", needs="quantile is not null", by="portions"),
)
# In portions of so many rows of user_rollup users are grouped in less memory, in two thirds of the time of all at once.
_PORTION_ROWS = 2_000_000
# Users whose traits are held at once.
_SEGMENTED_USERS = 2_000_000
_BY_SEGMENT = ("experiment_segments_rows", "experiment_dimensions_rows")
_AT_THIS_CUTOFF = "(experiment_id, cutoff_at) in (select experiment_id, cutoff_at from experiment_cutoffs)"


class Published(NamedTuple):
    """What one run did: the sufficient statistics read, the rows written, and the seconds it took."""

    cells: Sequence[dict[str, Any]]
    results: list[list[Any]]
    quality: list[list[Any]]
    segments: int
    seconds: dict[str, float]


def sufficient_statistics(clickhouse: ClickHouse) -> list[dict[str, Any]]:
    """Says anew who is compared (sql/clickhouse/220_compared_users), then reads the rows of sufficient_statistics.

    Of the experiments that changed since results were written (`rollup.tell_changed`). Call it, and read what else
    rests on those tables, under `rollup.lock`.
    """
    changed = [int(row[0]) for row in clickhouse.rows("select distinct experiment_id from changed_experiments")]
    _find_crossed_users(clickhouse, changed)
    for table in dict.fromkeys(step.table for step in _STEPS):
        clickhouse.command(f"truncate table {table}")
    # Those without rows, too: a quantile over users is 0 where none did anything.
    rows = rows_by_experiment(clickhouse, "user_rollup")
    by_users = list(portions({experiment: rows.get(experiment, 0) for experiment in changed}, _PORTION_ROWS))
    parameters_of: dict[str, list[dict[str, int] | None]] = {
        "": [None],
        "users": [*by_users],
        "portions": [{"first": one["first"], "last": one["last"]} for one in by_users if one["bucket"] == 0],
    }
    for step in _STEPS:
        if not step.needs or clickhouse.rows(f"select 1 from metric_terms where {step.needs} limit 1"):  # noqa: S608
            for parameters in parameters_of[step.by]:
                clickhouse.command(read_sql(f"clickhouse/compared/{step.file or step.table}"), parameters)
    return clickhouse.read("sufficient_statistics")


def _find_crossed_users(clickhouse: ClickHouse, experiments: list[int]) -> None:
    """Those of other experiments stay, since readers ask for them, too."""
    those = {"experiments": experiments}
    clickhouse.command(
        "alter table crossed_users delete where experiment_id in {experiments:Array(UInt64)}", those, mutations_sync=2
    )
    clickhouse.command(read_sql("clickhouse/compared/crossed_users"), those)


def publish(clickhouse: ClickHouse) -> Published:
    """Results, quality and results by dimension of the experiments that changed; call it under `rollup.lock`.

    Each at its cut-off: again without new facts it writes the same rows, those by dimension only where they may differ.
    """
    started = time.monotonic()
    cells = sufficient_statistics(clickhouse)
    audits = clickhouse.read("assignment_audit")
    results, quality = analyse(cells, clickhouse.read("assignments_by_phase", of_segments=False), audits)
    segmented, segments, phases = _by_segment(clickhouse, _rewritten(clickhouse, results))
    read = time.monotonic()
    by_segment, by_dimension = analyse_segments(segments, phases)
    _forget_written_segments(clickhouse, segmented, by_segment)
    # Before the results, by which it is seen that an older cut-off is to be computed again.
    clickhouse.insert("experiment_segments_rows", SEGMENT_COLUMNS, by_segment)
    clickhouse.insert("experiment_dimensions_rows", DIMENSION_COLUMNS, by_dimension)
    clickhouse.insert("experiment_results_rows", RESULT_COLUMNS, results)
    # Last: readers take the latest cut-off from here, so they never see a half-written one.
    clickhouse.insert("experiment_quality_rows", QUALITY_COLUMNS, quality)
    clickhouse.command("truncate table changed_experiments")
    seconds = {"seconds_reading": round(read - started, 3), "seconds": round(time.monotonic() - started, 3)}
    return Published(cells, results, quality, len(by_segment), seconds)


def _rewritten(clickhouse: ClickHouse, results: list[list[Any]]) -> list[int]:
    """Experiments whose results are written at the same cut-off already, and differ: a fact came late, or went away."""
    columns = ("experiment_id", "metric", "variant_id", "users", "sum")
    places = [RESULT_COLUMNS.index(name) for name in columns]
    written = {tuple(row[name] for name in columns) for row in clickhouse.read("written_results")}
    known = {row[0] for row in written}
    return sorted({row[0] for row in results if row[0] in known and tuple(row[i] for i in places) not in written})


def _forget_written_segments(clickhouse: ClickHouse, segmented: list[int], by_segment: list[list[Any]]) -> None:
    """Deletes results by dimension of the same cut-off where they have segments that there are no more.

    New rows replace those of the same segment only; the ten commonest values may have become others.
    """
    key = [SEGMENT_COLUMNS.index(name) for name in ("experiment_id", "dimension", "segment")]
    found = {tuple(row[i] for i in key) for row in by_segment}
    stale = sorted(
        {
            row["experiment_id"]
            for row in clickhouse.read("written_segments", experiments=segmented)
            if (row["experiment_id"], row["dimension"], row["segment"]) not in found
        }
    )
    for table in _BY_SEGMENT if stale else ():
        clickhouse.command(
            f"alter table {table} delete where experiment_id in {{stale:Array(UInt64)}} and {_AT_THIS_CUTOFF}",
            {"stale": stale},
            mutations_sync=2,
        )


def _by_segment(
    clickhouse: ClickHouse, rewritten: list[int]
) -> tuple[list[int], list[dict[str, Any]], list[dict[str, Any]]]:
    """The experiments computed by segment, rows of segment_statistics, and rows of assignments_by_phase of segments.

    Users stay in segments only meanwhile, and of so many experiments at once as fit into ClickHouse's memory.
    """
    segments: list[dict[str, Any]] = []
    phases: list[dict[str, Any]] = []
    to_compute = clickhouse.read("segments_to_compute", rewritten=rewritten)
    users = {row["experiment_id"]: row["users"] for row in to_compute}
    for experiments in batches(users, _SEGMENTED_USERS):
        _forget_segments(clickhouse)
        _segment(clickhouse, {experiment: users[experiment] for experiment in experiments})
        segments += clickhouse.read("segment_statistics")
        phases += clickhouse.read("assignments_by_phase", of_segments=True)
    _forget_segments(clickhouse)
    return list(users), segments, sorted(phases, key=lambda row: row["experiment_id"])


def _segment(clickhouse: ClickHouse, users: dict[int, int]) -> None:
    """Fills user_segments for these experiments (experiment → users), and metric_sums of each segment."""
    buckets = max(1, -(-sum(users.values()) // _SEGMENTED_USERS))
    for bucket in range(buckets):
        parameters: dict[str, Any] = {"experiments": list(users), "buckets": buckets, "bucket": bucket}
        clickhouse.command(read_sql("clickhouse/rollups/user_traits"), parameters)
    clickhouse.command(read_sql("clickhouse/rollups/user_segments"))
    # Both sides of the join take memory: a user's rows in user_rollup, and the segments they are in.
    rolled, segmented = (rows_by_experiment(clickhouse, table) for table in ("user_rollup", "user_segments"))
    sizes = {experiment: rolled.get(experiment, 0) + rows for experiment, rows in segmented.items()}
    for portion in portions(sizes, _PORTION_ROWS):
        clickhouse.command(read_sql("clickhouse/compared/metric_sums_of_segments"), portion)


def _forget_segments(clickhouse: ClickHouse) -> None:
    for table in ("user_traits", "user_segments"):
        clickhouse.command(f"truncate table {table}")
