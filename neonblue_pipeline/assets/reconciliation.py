"""Reconciliation: what PostgreSQL accepted against what ClickHouse can answer with, window by window."""

import time
from datetime import timedelta

import dagster as dg

from neonblue_pipeline import offsets, reconcile, replay
from neonblue_pipeline.assets.recovery import told
from neonblue_pipeline.resources import Servers, comment

# Windows proven within this time are compared again in each run: a table may lose rows after the proof.
RECHECK = timedelta(days=1)


@dg.asset(
    group_name="trust",
    kinds={"postgres", "clickhouse"},
    deps=["events_processed", "assignments_mv", "outbox_events"],
    pool="reconciliation",
    check_specs=[dg.AssetCheckSpec("windows_are_proven", asset="reconciliation")],
)
def reconciliation(context: dg.AssetExecutionContext, servers: Servers) -> dg.MaterializeResult:
    """Count and order-free checksum of whole facts for each closed window, into reconciliation_windows.

    A window is closed when it is over and no writer that could still add to it is at work. What is missing in one is
    sent again, once it is sure that it is not only late. Rows in outbox_events get processed_at from the time of the
    proof. Messages without a value, which ClickHouse passes over, become dead letters here.
    """
    started = time.monotonic()
    settings = servers.settings
    minutes = settings.reconciliation_window_minutes
    windows: list[reconcile.Window] = []
    healed = replay.Healed()
    with servers.postgres() as postgres, servers.clickhouse(comment(context)) as clickhouse:
        kept = offsets.keep_empty(settings, clickhouse)
        span = reconcile.closed_windows(postgres, minutes, RECHECK)
        if span is not None:
            windows = reconcile.compare(postgres, clickhouse, *span, minutes)
            reconcile.record(postgres, windows, *span)
            if not all(window.equal for window in windows):
                healed = replay.heal(settings, *span, patience_s=60, tell=context.log.warning)
                windows = reconcile.compare(postgres, clickhouse, *span, minutes)
                reconcile.record(postgres, windows, *span)
    gaps = [str(window) for window in windows if not window.equal]
    # What is late is not missing: the next run looks at it again, and the lag sensors tell of it meanwhile.
    passed = not gaps or bool(healed.behind)
    return dg.MaterializeResult(
        metadata={
            "windows": len(windows),
            "proven": len(windows) - len(gaps),
            "rows": sum(w.postgres[0] for w in windows),
            "gaps": gaps[:100],
            "messages_without_value": kept,
            "closed_until": span[1].isoformat() if span else "no window is closed yet",
            "seconds": round(time.monotonic() - started, 3),
            **told(healed),
        },
        check_results=[
            dg.AssetCheckResult(
                passed=passed,
                check_name="windows_are_proven",
                severity=dg.AssetCheckSeverity.ERROR,
                metadata={"gaps": gaps[:100], "behind": healed.behind or ""},
                description=gaps[0] if gaps else None,
            )
        ],
    )
