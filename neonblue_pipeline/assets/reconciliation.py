"""Reconciliation: what PostgreSQL accepted against what ClickHouse can answer with, window by window."""

import time

import dagster as dg

from neonblue_pipeline import reconcile
from neonblue_pipeline.resources import Servers, comment


@dg.asset(
    group_name="trust",
    kinds={"postgres", "clickhouse"},
    deps=["events_processed", "assignments_mv", "outbox_events"],
    pool="reconciliation",
    check_specs=[dg.AssetCheckSpec("windows_are_proven", asset="reconciliation")],
)
def reconciliation(context: dg.AssetExecutionContext, servers: Servers) -> dg.MaterializeResult:
    """Count and order-free checksum of ids for each closed window, into reconciliation_windows.

    A window is closed when it is over and no writer that could still add to it is at work. One that is not equal yet is
    compared again each time; its rows in outbox_events get processed_at from the first time that it is.
    """
    started = time.monotonic()
    minutes = servers.settings.reconciliation_window_minutes
    windows: list[reconcile.Window] = []
    with servers.postgres() as postgres, servers.clickhouse(comment(context)) as clickhouse:
        span = reconcile.closed_windows(postgres, minutes)
        if span is not None:
            windows = reconcile.compare(postgres, clickhouse, *span, minutes)
            reconcile.record(postgres, windows)
    gaps = [w for w in windows if not w.equal]
    told = [
        f"{w.aggregate_type} {w.start:%Y-%m-%d %H:%M} to {w.end:%H:%M} UTC: "
        f"{w.postgres[0]} accepted, {w.clickhouse[0]} in ClickHouse"
        for w in gaps
    ]
    return dg.MaterializeResult(
        metadata={
            "windows": len(windows),
            "proven": len(windows) - len(gaps),
            "rows": sum(w.postgres[0] for w in windows),
            "gaps": told[:100],
            "closed_until": span[1].isoformat() if span else "no window is closed yet",
            "seconds": round(time.monotonic() - started, 3),
        },
        check_results=[
            dg.AssetCheckResult(
                passed=not gaps,
                check_name="windows_are_proven",
                severity=dg.AssetCheckSeverity.ERROR,
                metadata={"gaps": told[:100]},
                description=told[0] if told else None,
            )
        ],
    )
