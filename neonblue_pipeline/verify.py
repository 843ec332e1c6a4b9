"""The proof: every hop of the way, window by window, with the ids in which it differs. Reads, never writes.

Each database counts its own facts and sums their digests; to Python come a row per window and, of a window that
differs, the ids of a few buckets of it.
"""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from neonblue_pipeline import clickhouse as clickhouse_client
from neonblue_pipeline import offsets
from neonblue_pipeline.arrival import await_arrival
from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.kept import first_kept
from neonblue_pipeline.reconcile import HOPS, Databases, Hop, Window, closed_until
from neonblue_pipeline.recount import event_days, rollup_differences
from neonblue_pipeline.settings import SLOT, TOPIC, Settings
from neonblue_pipeline.sqlfiles import read_sql

_GAPS_TOLD = 20


@dataclass(frozen=True)
class Gap:
    """Where a hop differs: the window in words; examples of what is missing after it, only there, or not the same."""

    where: str
    missing: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Check:
    """One hop: what was compared, how much of it, and each gap."""

    hop: str
    ok: bool
    detail: str
    windows: int = 0
    rows: int = 0
    gaps: list[Gap] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """Everything that was looked at, in the order of the way."""

    start: datetime | None
    until: datetime
    checks: list[Check]
    behind: str | None = None

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        return {
            "from": self.start.isoformat() if self.start else None,
            "until": self.until.isoformat(),
            "ok": self.ok,
            "behind": self.behind,
            "checks": [asdict(check) for check in self.checks],
        }


def verify(
    settings: Settings, start: datetime | None = None, until: datetime | None = None, *, patience_s: float = 60
) -> Report:
    """Compares every hop over [start, until); without bounds over all that was accepted and is kept.

    `until` is moved back to the moment before which no fact can appear any more. Where something is missing, it
    waits up to `patience_s` for what is still on its way and looks again.
    """
    with (
        psycopg.connect(settings.postgres_url, autocommit=True, connect_timeout=5) as postgres,
        clickhouse_client.connect(settings, "neonblue verify") as clickhouse,
    ):
        closed = closed_until(postgres)
        until = min(until, closed) if until else closed
        start = start or first_kept(postgres)
        databases = Databases(postgres, clickhouse)
        minutes = settings.reconciliation_window_minutes
        windows: dict[str, list[Window]] = {hop.name: [] for hop in HOPS}
        behind = None
        if start is not None and start < until:
            windows = {hop.name: databases.windows(hop, start, until, minutes) for hop in HOPS}
            if not all(w.equal for found in windows.values() for w in found):
                behind = await_arrival(settings, patience_s)
                windows = {hop.name: databases.windows(hop, start, until, minutes) for hop in HOPS}
        outbox, landing, processed = (_hop(databases, hop, windows[hop.name]) for hop in HOPS)
        return Report(
            start,
            until,
            [
                outbox,
                _slot(postgres),
                _topic(settings, clickhouse, whole=landing.ok),
                landing,
                processed,
                _rollups(clickhouse, start, until),
                _ledger(postgres, start, until),
            ],
            behind,
        )


def _hop(databases: Databases, hop: Hop, windows: list[Window]) -> Check:
    gaps = []
    unequal = [window for window in windows if not window.equal]
    for window in unequal[:_GAPS_TOLD]:
        found = databases.differences(hop, window)
        gaps.append(Gap(str(window), found.missing, found.surplus, found.changed))
    rows = sum(window.postgres[0] for window in windows)
    detail = f"{hop.left.what} = {hop.right.what}" if not unequal else f"{len(unequal)} windows differ"
    return Check(hop.name, not unequal, detail, len(windows), rows, gaps)


def _slot(postgres: "psycopg.Connection[Any]") -> Check:
    row = postgres.execute(read_sql("read/unread_wal").encode(), {"slot": SLOT}).fetchone()
    if row is None:
        return Check("slot", False, f"replication slot '{SLOT}' does not exist: `neonblue recover` makes it again")
    active, wal_status, unread, *_ = row
    detail = f"{unread:,} bytes of write-ahead log unread, {'read' if active else 'NOT READ'} ({wal_status})"
    return Check("slot", bool(active) and wal_status in ("reserved", "extended"), detail)


def _topic(settings: Settings, clickhouse: ClickHouse, *, whole: bool) -> Check:
    """Every offset that ClickHouse has committed must have landed: counted per partition in the present topic."""
    found = offsets.partitions(settings, clickhouse)
    if not found:
        return Check("topic", False, f"topic {TOPIC} does not exist: `neonblue recover` makes it again")
    gaps = [
        Gap(
            f"topic: partition {each.number}: {each.read:,} offsets read, {each.landed:,} landed",
            [f"offsets {first} to {last}" for first, last in each.lost[:5]],
        )
        for each in found
        if each.lost
    ]
    landed = sum(each.landed for each in found)
    detail = f"{landed:,} messages landed, {sum(each.unread for each in found):,} unread"
    if empty := sum(len(each.empty) for each in found):
        detail += f"; {empty:,} without a value, which the next reconciliation keeps as dead letters"
    if gaps and whole:
        detail += "; those that did not land were sent again"
    # What a lost message held may have come by another one.
    return Check("topic", whole or not gaps, detail, len(found), landed, gaps)


def _rollups(clickhouse: ClickHouse, start: datetime | None, until: datetime) -> Check:
    """Rollups against a recount of events_processed, but for days that wait to be built again."""
    days = event_days(clickhouse, start, until) if start is not None else None
    if start is None or days is None:
        return Check("rollups", True, "no events")
    differences, waiting = rollup_differences(clickhouse, start, until)
    gaps = [
        Gap(
            f"rollups: {row['relation']}: experiment {row['experiment_id']}, {row['day']}, {row['cell']}: "
            f"{row['counted_events']} events counted, {row['rolled_events']} rolled up; "
            f"value {row['counted_value']:.6g} and {row['rolled_value']:.6g}"
        )
        for row in differences
    ]
    waits = f"; {len(waiting)} days wait for the next rollup" if waiting else ""
    detail = (
        f"equal to a recount of {days[0]} to {days[1]}"
        if not gaps
        else f"{len(gaps)} cells differ (20 of each rollup and day at most)"
    )
    return Check("rollups", not gaps, detail + waits, (days[1] - days[0]).days + 1, 0, gaps[:_GAPS_TOLD])


def _ledger(postgres: "psycopg.Connection[Any]", start: datetime | None, until: datetime) -> Check:
    """What the ledger says of the span: windows proven, windows found unequal."""
    rows = postgres.execute(
        """select window_start, window_end, aggregate_type, postgres_count, clickhouse_count, proven_at
           from reconciliation_windows where window_end > %s and window_start < %s order by window_start""",
        (start or until, until),
    ).fetchall()
    gaps = [
        Gap(f"ledger: {kind} {first:%Y-%m-%d %H:%M} to {last:%H:%M} UTC: not proven; {left} accepted, {right} found")
        for first, last, kind, left, right, proven in rows
        if proven is None
    ]
    last = max((row[1] for row in rows), default=None)
    detail = f"{len(rows) - len(gaps)} of {len(rows)} windows proven" + (
        f", up to {last:%Y-%m-%d %H:%M} UTC" if last else ""
    )
    # An entry is as old as its last check; what holds now is told by the hops above.
    return Check("ledger", True, detail, len(rows), sum(row[3] for row in rows), gaps[:_GAPS_TOLD])
