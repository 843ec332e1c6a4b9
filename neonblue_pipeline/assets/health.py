"""End to end: a canary event goes the whole way, from the API to what readers see."""

import time
import uuid

import dagster as dg

from neonblue_pipeline.errors import HealthError, SettingsMissing
from neonblue_pipeline.resources import Servers, comment
from neonblue_pipeline.settings import CANARY_TYPE, CANARY_USER

_LOOK_EVERY_S = 0.02


@dg.asset(group_name="trust", kinds={"http", "clickhouse"}, deps=["connector", "events_processed"])
def end_to_end_health(context: dg.AssetExecutionContext, servers: Servers) -> dg.MaterializeResult:
    """Posts one event and waits until it can be queried; the canary names no experiment, so it counts for none.

    Fails with the last stage that the canary reached, so that the one after it is to be looked at.
    """
    import httpx

    settings = servers.settings
    if not settings.api_url or not settings.api_token:
        raise SettingsMissing("NEONBLUE_API_URL and NEONBLUE_API_TOKEN are not set: the canary starts at the API")
    canary = str(uuid.uuid4())
    event = {"id": canary, "user_id": CANARY_USER, "event_type": CANARY_TYPE}
    with servers.clickhouse(comment(context)) as clickhouse:
        started = time.monotonic()
        answer = httpx.post(
            f"{settings.api_url}/v1/events",
            json=event,
            headers={"Authorization": f"Bearer {settings.api_token}"},
            timeout=10,
        )
        if answer.status_code != 202:
            raise HealthError(f"the API answered {answer.status_code} to the canary: {answer.text[:500]}")
        accepted = time.monotonic()
        query = "select count() from events_processed where user_id = {user:String} and id = {id:UUID}"
        while not clickhouse.rows(query, {"user": CANARY_USER, "id": canary})[0][0]:
            if time.monotonic() - accepted > settings.health_timeout_s:
                landed = clickhouse.rows(
                    "select count() from landing where aggregate_id = {id:String}", {"id": canary}
                )[0][0]
                where = (
                    "landed in ClickHouse, but its views dropped it"
                    if landed
                    else "is in PostgreSQL, but not in ClickHouse"
                )
                raise HealthError(
                    f"canary {canary} was accepted {settings.health_timeout_s:.0f} s ago and {where}; see the sensor "
                    "alarms for the hop that stands still, and dead_letters for a refusal"
                )
            time.sleep(_LOOK_EVERY_S)
        seen = time.monotonic()
    return dg.MaterializeResult(
        metadata={
            "accepted_ms": round((accepted - started) * 1000, 1),
            "visible_ms": round((seen - accepted) * 1000, 1),
        }
    )
