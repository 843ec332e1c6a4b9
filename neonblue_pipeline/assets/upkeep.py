"""What would otherwise grow or run out: day partitions, old days, old cut-offs, old Dagster runs."""

import time
from datetime import UTC, datetime, timedelta

import dagster as dg

from neonblue_pipeline import event_ids, retention, rollup
from neonblue_pipeline.resources import Servers, comment
from neonblue_pipeline.sqlfiles import read_sql

_RUNS_AT_ONCE = 200
# The last says which cut-offs there are: it is thinned when the others are.
_CUTOFFS = tuple(f"experiment_{name}_rows" for name in ("results", "segments", "dimensions", "quality"))


@dg.asset(group_name="upkeep", kinds={"postgres"}, deps=["events", "outbox_events"])
def day_partitions(servers: Servers) -> dg.MaterializeResult:
    """Partitions of events and outbox for the coming week; rerunning makes those that are missing."""
    with servers.postgres() as postgres:
        row = postgres.execute("select ensure_day_partitions((now() at time zone 'UTC')::date, 7)").fetchone()
    return dg.MaterializeResult(metadata={"created": row[0] if row else 0})


@dg.asset(group_name="upkeep", kinds={"postgres"}, deps=["events"])
def known_event_ids(context: dg.AssetExecutionContext, servers: Servers) -> dg.MaterializeResult:
    """The ids of the days that are over go where an event's id is looked up at once; rerunning takes what is left."""
    with servers.postgres() as postgres:
        taken = event_ids.remember(postgres, context.log.info)
    days = {str(day): number for day, number in taken.items()}
    return dg.MaterializeResult(metadata={"days": days, "ids": sum(days.values())})


@dg.asset(
    group_name="upkeep",
    kinds={"clickhouse"},
    deps=["experiment_results", "experiment_quality"],
    pool="rollups",
    retry_policy=dg.RetryPolicy(max_retries=2, delay=5),
)
def thinned_cutoffs(context: dg.AssetExecutionContext, servers: Servers) -> dg.MaterializeResult:
    """Of cut-offs older than two days the last of each day stays, so that results do not grow by every minute."""
    kept = read_sql("read/last_cutoffs_of_the_days")
    # Results are written before the row that says which cut-off they are of, and until then are none of the last.
    with rollup.lock(servers.settings, comment(context)) as clickhouse:
        before = clickhouse.rows("select count() from experiment_quality_rows")[0][0]
        for table in _CUTOFFS:
            clickhouse.command(
                f"alter table {table} delete "
                f"where cutoff_at < now() - interval 2 day and (experiment_id, cutoff_at) not in ({kept})",
                mutations_sync=2,
            )
        after = clickhouse.rows("select count() from experiment_quality_rows")[0][0]
    return dg.MaterializeResult(metadata={"cutoffs_before": before, "cutoffs_after": after})


@dg.asset(group_name="upkeep", kinds={"dagster"})
def pruned_runs(context: dg.AssetExecutionContext, servers: Servers) -> dg.MaterializeResult:
    """Deletes finished Dagster runs older than NEONBLUE_DAGSTER_KEEP_DAYS, with their logs."""
    started = time.monotonic()
    finished = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED],
        created_before=datetime.now(UTC) - timedelta(days=servers.settings.dagster_keep_days),
    )
    deleted = 0
    while runs := context.instance.get_runs(finished, limit=_RUNS_AT_ONCE):
        for run in runs:
            context.instance.delete_run(run.run_id)
        deleted += len(runs)
    return dg.MaterializeResult(metadata={"runs_deleted": deleted, "seconds": round(time.monotonic() - started, 3)})


@dg.asset(
    group_name="upkeep",
    kinds={"postgres", "clickhouse"},
    deps=["reconciliation"],
    pool="reconciliation",
    check_specs=[dg.AssetCheckSpec("old_days_are_proven", asset="dropped_days")],
)
def dropped_days(context: dg.AssetExecutionContext, servers: Servers) -> dg.MaterializeResult:
    """Drops days of outbox and events, months of landing and of raw events, and closed dead letters past their setting.

    A day that is not proven is never dropped, however full the disk: the check fails and says what to do.
    """
    done = retention.drop_old_days(servers.settings, tell=context.log.info)
    held = [str(each) for each in done.held]
    return dg.MaterializeResult(
        metadata={"dropped": done.dropped, "bytes_freed": done.bytes_freed, "held": held},
        check_results=[
            dg.AssetCheckResult(
                passed=not held,
                check_name="old_days_are_proven",
                severity=dg.AssetCheckSeverity.ERROR,
                metadata={"held": held},
                description="; ".join(held) or None,
            )
        ],
    )
