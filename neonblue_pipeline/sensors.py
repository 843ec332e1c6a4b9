"""What is looked at all the time between runs: lag at each hop, state of the connector. Sensors probe; runs repair."""

import json
import time

import dagster as dg

from neonblue_pipeline import connector, jobs, lag
from neonblue_pipeline.resources import Servers
from neonblue_pipeline.settings import CONNECTOR

# The asset on which a hop's observation is shown.
_ASSET_OF = {"unread_messages": "landing", "rollup_age": "user_rollup"}


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
        metadata = {
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
    """Asks for one repair when the connector or its task has failed or is gone, and tells when it runs again."""
    import httpx

    with httpx.Client(base_url=servers.settings.connect_url, timeout=10) as connect:
        state = connector.status(connect)
    if state is None:
        problem = f"connector '{CONNECTOR}' is not registered"
    elif failure := connector.task_failure(state):
        problem = f"connector '{CONNECTOR}' is FAILED: {failure}"
    else:
        problem = ""
    known = context.cursor or ""
    if problem == known:
        return dg.SensorResult(cursor=known, skip_reason=dg.SkipReason(problem or "the connector runs"))
    context.log.info(problem or f"connector '{CONNECTOR}' runs again; it was: {known}")
    if not problem:
        return dg.SensorResult(cursor="", skip_reason=dg.SkipReason("the connector runs again"))
    request = dg.RunRequest(run_key=f"repair-{time.time_ns()}", tags={"neonblue/problem": problem[:200]})
    return dg.SensorResult(cursor=problem, run_requests=[request])
