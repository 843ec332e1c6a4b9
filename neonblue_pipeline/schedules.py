"""When jobs run by themselves. All are on from the start."""

import time

import dagster as dg

from neonblue_pipeline import command_runs, jobs
from neonblue_pipeline.resources import Servers

_UNDER_WAY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
# A changed day is built again as a whole: the fuller the day, the longer it takes. Builds may have a fifth of the time.
_REST_PER_BUILD = 4


def rest_left_s(started_at: float, ended_at: float, now: float) -> float:
    """Seconds until the next build is due, 0 or less if it is; all times in unix seconds, of the last build."""
    return _REST_PER_BUILD * (ended_at - started_at) - (now - ended_at)


@dg.schedule(cron_schedule="* * * * *", job=jobs.live, default_status=dg.DefaultScheduleStatus.RUNNING)
def live_rollups(context: dg.ScheduleEvaluationContext, servers: Servers) -> dg.RunRequest | dg.SkipReason:
    """Every minute in which something changed, unless the last build took more than a fifth of the time since it began.

    A run costs seconds of a core, a look costs milliseconds.
    """
    command_runs.end_abandoned(context.instance, servers.settings)
    under_way = context.instance.get_runs(dg.RunsFilter(job_name=jobs.live.name, statuses=_UNDER_WAY), limit=1)
    if under_way:
        return dg.SkipReason(f"run {under_way[0].run_id} is still under way")
    over = dg.RunsFilter(job_name=jobs.live.name, statuses=[dg.DagsterRunStatus.SUCCESS])
    for last in context.instance.get_run_records(over, limit=1):
        if last.start_time and last.end_time and (rest := rest_left_s(last.start_time, last.end_time, time.time())) > 0:
            return dg.SkipReason(f"the last build took {last.end_time - last.start_time:.0f} s; due in {rest:.0f} s")
    with servers.clickhouse("dagster schedule live_rollups") as clickhouse:
        pending = clickhouse.read("pending_rollups")[0]
    counts = {name: pending[name] for name in ("blocks_of_events", "assignments", "definitions", "experiments")}
    if not any(counts.values()):
        return dg.SkipReason("nothing changed since the last build")
    return dg.RunRequest(tags={f"neonblue/{name}": str(count) for name, count in counts.items()})


hourly = dg.ScheduleDefinition(
    name="hourly_reconciliation",
    job=jobs.hourly,
    cron_schedule="7 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
daily = dg.ScheduleDefinition(
    name="daily_upkeep",
    job=jobs.daily,
    run_config=jobs.OF_ALL,  # a schedule does not take over what is set at its job
    cron_schedule="17 0 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
health = dg.ScheduleDefinition(
    name="canary", job=jobs.health, cron_schedule="*/10 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING
)

ALL = [live_rollups, hourly, daily, health]
