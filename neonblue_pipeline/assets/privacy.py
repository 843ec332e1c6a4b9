"""Forgetting people: the erasures that were asked for, carried through every store."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from neonblue_pipeline.errors import ErasureHeld
from neonblue_pipeline.resources import Servers


@dg.asset(
    group_name="privacy",
    kinds={"postgres", "kafka", "clickhouse"},
    pool="reconciliation",
    check_specs=[dg.AssetCheckSpec("erasures_are_in_time", asset="erased_users")],
)
def erased_users(context: dg.AssetExecutionContext, servers: Servers) -> dg.MaterializeResult:
    """Does the steps of every open erasure that are not recorded yet; what cannot be done now is tried in a minute.

    Runs, logs and metadata know an erasure by its number only. The check fails for one that is open for longer than
    NEONBLUE_ERASURE_HOURS.
    """
    from neonblue_pipeline.erasing import steps  # brings scipy, which takes longer to import than all else

    held = ""
    try:
        done = steps.erase(servers.settings, context.log.info)
    except ErasureHeld as reason:
        held, done = str(reason), steps.Erased()
        context.log.warning(held)
    with servers.postgres() as postgres:
        still_open = steps.open_erasures(postgres)
    due = datetime.now(UTC) - timedelta(hours=servers.settings.erasure_hours)
    late = [str(erasure.erasure_id) for erasure in still_open if erasure.requested_at < due]
    return dg.MaterializeResult(
        metadata={"finished": done.finished, "open": len(still_open), "held": held, "seconds": done.seconds},
        check_results=[
            dg.AssetCheckResult(
                passed=not late,
                check_name="erasures_are_in_time",
                severity=dg.AssetCheckSeverity.ERROR,
                metadata={"late": late, "held": held},
                description=f"erasures {', '.join(late)} are not over: {held}" if late else None,
            )
        ],
    )
