"""What is looked at all the time between runs: alarms, state of the connector. Sensors probe; runs repair."""

import json
import time
from typing import Any

import dagster as dg

from neonblue_pipeline import alarms, connector, dagster_findings, jobs, probes, recovery
from neonblue_pipeline.assets import checks
from neonblue_pipeline.resources import Servers
from neonblue_pipeline.settings import CONNECTOR

_RUNS = "runs"
_REPAIR_EVERY_S = 300
_ERASE_EVERY_S = 60
_UNDER_WAY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


@dg.sensor(
    name="alarms",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=alarms.__doc__,
)
def alarm_sensor(context: dg.SensorEvaluationContext, servers: Servers) -> dg.SensorResult:
    """Looks at every server and hop, at failed checks and failed jobs; tells what is newly broken or newly healed.

    The cursor keeps where each hop was and what each check said, which is shown on the check's asset when it changes.
    """
    settings = servers.settings
    memory: dict[str, Any] = json.loads(context.cursor or "{}")
    positions = probes.Positions(memory.get("positions", {}))
    seen = probes.look(settings, positions)
    found = {one.probe.check: one.findings for one in seen} | dagster_findings.look(context)
    change = alarms.record(settings, found, [one.probe.check for one in seen if not one.answered])
    for alarm in change.broken:
        context.log.warning(f"broken: {alarm}")
    for alarm in change.healed:
        context.log.info(f"healed: {alarm}")
    alarms.deliver(settings)
    if settings.alarm_heartbeat_url:
        _beat(context, settings.alarm_heartbeat_url)
    passed = {one.probe.check: not one.findings for one in seen}
    changed = [one for one in seen if memory.get("passed", {}).get(one.probe.check) != passed[one.probe.check]]
    told = "; ".join(sorted({finding.what for findings in found.values() for finding in findings}))
    return dg.SensorResult(
        asset_events=[checks.evaluation(one) for one in changed],
        cursor=json.dumps({"positions": positions.known, "passed": passed}),
        skip_reason=dg.SkipReason(told or "everything is well"),
    )


def _beat(context: dg.SensorEvaluationContext, url: str) -> None:
    import httpx

    try:
        httpx.get(url, timeout=5).raise_for_status()
    except httpx.HTTPError as error:
        context.log.warning(f"NEONBLUE_ALARM_HEARTBEAT_URL: {type(error).__name__}: the service does not take the beat")


@dg.sensor(
    name="connector_state", job=jobs.repair, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING
)
def connector_state(context: dg.SensorEvaluationContext, servers: Servers) -> dg.SensorResult:
    """Asks for a repair, at most every five minutes, while the connector or its task has failed.

    A connector that was there once and is gone is a failure; one that never was waits for the job setup.
    """
    import httpx

    with httpx.Client(base_url=servers.settings.connect_url, timeout=10) as connect:
        state = connector.status(connect)
    known = context.cursor
    if state is None:
        if known is None:
            return dg.SensorResult(skip_reason=dg.SkipReason("no connector yet: the job setup registers it"))
        problem = f"connector '{CONNECTOR}' is not registered any more"
    elif failure := connector.task_failure(state):
        problem = f"connector '{CONNECTOR}' is FAILED: {failure}"
    else:
        problem = ""
    now = problem or _RUNS
    if known is not None and now != known:
        context.log.info(f"connector '{CONNECTOR}': {now}; it was: {known}")
    if not problem:
        return dg.SensorResult(cursor=now, skip_reason=dg.SkipReason(now))
    # Dagster starts one run per key.
    request = dg.RunRequest(
        run_key=f"repair-{int(time.time() // _REPAIR_EVERY_S)}", tags={"neonblue/problem": problem[:200]}
    )
    return dg.SensorResult(cursor=now, run_requests=[request])


@dg.sensor(
    name="broken_stream", job=jobs.recover, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING
)
def broken_stream(context: dg.SensorEvaluationContext, servers: Servers) -> dg.SensorResult:
    """Asks for a recovery, one at a time, while a part is gone, a position was moved, or a recovery broke off."""
    problems = recovery.problems(servers.settings)
    now = "; ".join(f"{problem.part}: {problem.found}" for problem in problems)
    if not problems:
        return dg.SensorResult(cursor="", skip_reason=dg.SkipReason("slot, topic and tables are there"))
    if any(problem.part == recovery.RESTORE for problem in problems):
        # Each recovery would refuse.
        return dg.SensorResult(cursor=now, skip_reason=dg.SkipReason(now))
    if now != context.cursor and all(problem.part in (recovery.TABLES, recovery.CONSUMER) for problem in problems):
        # Setup and a change of the schema take tables away for a moment.
        return dg.SensorResult(cursor=now, skip_reason=dg.SkipReason(f"{now}: looked at again in half a minute"))
    if now != context.cursor:
        context.log.warning(f"the stream is broken: {now}; the job `recover` repairs it")
    under_way = context.instance.get_runs(dg.RunsFilter(job_name=jobs.recover.name, statuses=_UNDER_WAY), limit=1)
    if under_way:
        return dg.SensorResult(cursor=now, skip_reason=dg.SkipReason(f"run {under_way[0].run_id} repairs it"))
    return dg.SensorResult(cursor=now, run_requests=[dg.RunRequest(tags={"neonblue/problem": now[:200]})])


@dg.sensor(
    name="open_erasures", job=jobs.erasures, minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING
)
def open_erasures(context: dg.SensorEvaluationContext, servers: Servers) -> dg.SensorResult:
    """Asks for a run, one at a time and at most one a minute, while an erasure is not over."""
    with servers.postgres() as postgres:
        known = postgres.execute("select to_regclass('erasures')").fetchone()
        # Before the first setup there is no such table.
        row = known and known[0] and postgres.execute("select from erasures where finished_at is null").fetchone()
    if row is None:
        return dg.SensorResult(skip_reason=dg.SkipReason("nobody waits to be forgotten"))
    under_way = context.instance.get_runs(dg.RunsFilter(job_name=jobs.erasures.name, statuses=_UNDER_WAY), limit=1)
    if under_way:
        return dg.SensorResult(skip_reason=dg.SkipReason(f"run {under_way[0].run_id} is still under way"))
    request = dg.RunRequest(run_key=f"erasures-{int(time.time() // _ERASE_EVERY_S)}")
    return dg.SensorResult(run_requests=[request])
