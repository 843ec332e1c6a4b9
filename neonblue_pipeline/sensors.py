"""What is looked at all the time between runs: lag at each hop, state of the connector. Sensors probe; runs repair."""

import json
import time
from typing import Any

import dagster as dg

from neonblue_pipeline import connector, jobs, lag, recovery
from neonblue_pipeline.resources import Servers
from neonblue_pipeline.settings import CONNECTOR

# The asset on which a hop's observation is shown.
_ASSET_OF = {"unread_messages": "landing", "rollup_age": "user_rollup"}
_RUNS = "runs"
_REPAIR_EVERY_S = 300
_UNDER_WAY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


@dg.sensor(
    name="stream_lag",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=lag.__doc__,
)
def stream_lag(context: dg.SensorEvaluationContext, servers: Servers) -> dg.SensorResult:
    """Tells each hop once when it becomes late and once when it is well again; the cursor keeps since when."""
    late_since: dict[str, float] = json.loads(context.cursor or "{}")
    hops = lag.measure(servers.settings)
    events = []
    for hop in hops:
        since = late_since.get(hop.name)
        if hop.late == (since is not None):
            continue
        if hop.late:
            late_since[hop.name] = time.time()
            context.log.warning(f"late: {hop}; {hop.cure}")
        else:
            context.log.info(f"well again after {time.time() - late_since.pop(hop.name):.0f} s: {hop}")
        metadata: dict[str, Any] = {
            "hop": hop.name,
            "late": hop.late,
            hop.unit: float(hop.value),
            "limit": float(hop.limit),
            "cure": hop.cure,
        }
        events.append(dg.AssetObservation(_ASSET_OF.get(hop.name, "connector"), metadata=metadata))
    gone = late_since.keys() - {hop.name for hop in hops}
    for name in gone:
        late_since.pop(name)
    told = "; ".join(str(hop) for hop in hops if hop.late) or "every hop is within its limit"
    return dg.SensorResult(asset_events=events, cursor=json.dumps(late_since), skip_reason=dg.SkipReason(told))


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
    """Asks for a recovery, one at a time, while slot, topic or a table is gone or a position was moved."""
    problems = recovery.problems(servers.settings)
    now = "; ".join(f"{problem.part}: {problem.found}" for problem in problems)
    if not problems:
        return dg.SensorResult(cursor="", skip_reason=dg.SkipReason("slot, topic and tables are there"))
    if now != context.cursor and all(problem.part == "clickhouse" for problem in problems):
        # Setup and a change of the schema take tables away for a moment.
        return dg.SensorResult(cursor=now, skip_reason=dg.SkipReason(f"{now}: looked at again in half a minute"))
    if now != context.cursor:
        context.log.warning(f"the stream is broken: {now}; the job `recover` repairs it")
    under_way = context.instance.get_runs(dg.RunsFilter(job_name=jobs.recover.name, statuses=_UNDER_WAY), limit=1)
    if under_way:
        return dg.SensorResult(cursor=now, skip_reason=dg.SkipReason(f"run {under_way[0].run_id} repairs it"))
    return dg.SensorResult(cursor=now, run_requests=[dg.RunRequest(tags={"neonblue/problem": now[:200]})])
