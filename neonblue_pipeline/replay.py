"""Sending facts again: a span from PostgreSQL's outbox through the stream, or from landing through the views.

Idempotent: an outbox row keeps its id, an event its own, and every reader collapses what comes twice. Two replays at
once do no harm. No Dagster.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from neonblue_pipeline import clickhouse as clickhouse_client
from neonblue_pipeline.arrival import await_arrival
from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.erasing import lock
from neonblue_pipeline.errors import ReplayError
from neonblue_pipeline.kept import first_kept, kept_from
from neonblue_pipeline.reconcile import (
    HOPS,
    LANDING,
    OUTBOX,
    PROCESSED,
    Databases,
    Window,
    closed_until,
)
from neonblue_pipeline.recount import rollup_differences
from neonblue_pipeline.settings import TOPIC, Settings

TYPES = ("experiment", "assignment", "event")
SOURCES = ("outbox", "landing")
# One transaction of PostgreSQL each: Debezium holds a transaction back until its commit.
_SLICE = timedelta(minutes=1)
# When the rows were accepted that are sent again: from the outbox, or from the facts themselves.
_OUTBOX = "select created_at as at from outbox_log where aggregate_type = %(kind)s"
_FACTS = {
    "event": "select created_at as at from events",
    "assignment": "select created_at as at from assignments",
    "experiment": "select updated_at as at from experiments where revision > 0",
}
# Columns of landing_rows in the order of its definition; received_at is the clock of the replay.
LANDING_COLUMNS = (
    "topic, partition, offset, kafka_timestamp, key, lsn, outbox_id, aggregate_id, aggregate_type, event_type, "
    "created_at, payload, raw, reason"
)


@dataclass
class Healed:
    """What a repair did: windows that were unequal, rows sent again from each source, days of rollups marked to be
    built again, what is still unequal, and what is still on its way."""

    unequal: list[Window] = field(default_factory=list)
    resent: int = 0
    derived: int = 0
    days: list[date] = field(default_factory=list)
    left: list[Window] = field(default_factory=list)
    behind: str | None = None


def resend(settings: Settings, start: datetime, until: datetime, types: Sequence[str] = TYPES) -> int:
    """Sends what was accepted in [start, until) through Debezium and Kafka again; returns the number of rows.

    PostgreSQL copies its outbox itself, a minute of acceptance per transaction; where retention dropped days of the
    outbox, it makes the rows anew from the facts.
    """
    sent = 0
    with psycopg.connect(settings.postgres_url, autocommit=True) as postgres:
        kept = kept_from(postgres, "outbox_log") or start
        # Definitions and assignments first, as they were accepted before the events that need them.
        for kind in TYPES:
            if kind not in types:
                continue
            for function, table, first, last in (
                ("resend_facts", _FACTS[kind], start, min(until, kept)),
                ("resend_outbox", _OUTBOX, max(start, kept), until),
            ):
                for begin, end in _slices(postgres, table, first, last, kind):
                    row = postgres.execute(f"select {function}(%s, %s, %s)".encode(), (kind, begin, end)).fetchone()
                    assert row is not None
                    sent += row[0]
    return sent


def derive(clickhouse: ClickHouse, start: datetime, until: datetime, types: Sequence[str] = TYPES) -> int:
    """Passes the landed messages of [start, until) through the views again; returns how many.

    A message is written over itself in landing, so that only what follows from it is new. Of an outbox row that came
    several times the last message is taken.
    """
    bounds: dict[str, Any] = {"start": start, "until": until, "types": list(types)}
    which = (
        "created_at >= {start:DateTime64(6, 'UTC')} and created_at < {until:DateTime64(6, 'UTC')} "
        "and aggregate_type in {types:Array(String)} and reason = ''"
    )
    position = "(topic, partition, offset, kafka_timestamp)"
    again = f"from landing where {which} group by outbox_id having count() > 1"
    which += (
        f" and (outbox_id not in (select outbox_id {again})"
        f" or {position} in (select argMax({position}, (kafka_timestamp, offset)) {again}))"
    )
    count = clickhouse.rows(f"select count() from landing where {which}", bounds)[0][0]  # noqa: S608
    clickhouse.command(
        f"insert into landing_rows ({LANDING_COLUMNS}) select {LANDING_COLUMNS} from landing where {which}",  # noqa: S608
        bounds,
        max_partitions_per_insert_block=0,
    )
    return count


def replay(
    settings: Settings, start: datetime, until: datetime, source: str = "outbox", types: Sequence[str] = TYPES
) -> int:
    """Sends [start, until) again from `source`; returns the number of rows."""
    if source not in SOURCES or not set(types) <= set(TYPES):
        raise ReplayError(f"source {source!r}, types {', '.join(types)}: sources are {SOURCES}, types are {TYPES}")
    if start >= until:
        raise ReplayError(f"the span from {start} to {until} is empty; its end must be after its start")
    if source == "outbox":
        with lock.beside(settings):
            return resend(settings, start, until, types)
    with lock.beside(settings), clickhouse_client.connect(settings, "neonblue_pipeline replay") as clickhouse:
        return derive(clickhouse, start, until, types)


def heal(
    settings: Settings,
    start: datetime | None = None,
    until: datetime | None = None,
    *,
    patience_s: float = 120,
    tell: Callable[[str], None] = lambda _: None,
) -> Healed:
    """Finds what is missing in [start, until) and sends it again until nothing is, or until that does not help.

    Without bounds: everything that was accepted before now. What is only late is waited for, and not sent again.
    """
    healed = Healed()
    minutes = settings.reconciliation_window_minutes
    with (
        lock.beside(settings),
        psycopg.connect(settings.postgres_url, autocommit=True) as postgres,
        clickhouse_client.connect(settings, "neonblue_pipeline replay") as clickhouse,
    ):
        databases = Databases(postgres, clickhouse)
        closed = closed_until(postgres)
        until = min(until, closed) if until else closed
        start = start or first_kept(postgres)
        if start is None or start >= until:
            return healed
        asked = start, until
        for turn in range(3):
            unequal = unequal_windows(databases, start, until, minutes)
            if unequal:
                # Windows that are closed and equal stay so: from here on only the others are looked at.
                start, until = min(window.start for window in unequal), max(window.end for window in unequal)
                # Only what is still unequal when everything has arrived is lost.
                healed.behind = await_arrival(settings, patience_s)
                unequal = unequal_windows(databases, start, until, minutes)
            if turn == 0:
                healed.unequal = unequal
            healed.left = unequal
            if not unequal or healed.behind or turn == 2:
                break
            tell(f"{len(unequal)} windows have a gap, the first: {unequal[0]}")
            _send_again(settings, clickhouse, unequal, healed)
        differences, _ = rollup_differences(clickhouse, *asked)
        healed.days = sorted({row["day"] for row in differences})
        mark_days(clickhouse, healed.days)
    return healed


def moment(text: str) -> datetime:
    """A time in ISO 8601, UTC where it names no zone. Raises ReplayError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ReplayError(f"{text!r} is no time; write it as 2026-01-31T10:00 (UTC)") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def mark_days(clickhouse: ClickHouse, days: Sequence[date]) -> None:
    """Has the rollups of these days built again by the next run of the job `live`."""
    # Offset 0 of partition 0 is committed as soon as anything is: the mark goes with the build that reads it.
    rows = [[day, TOPIC, 0, 0, 0] for day in days]
    clickhouse.insert("dirty_days", ["day", "topic", "partition", "last_offset", "events"], rows)


def unequal_windows(databases: Databases, start: datetime, until: datetime, minutes: int) -> list[Window]:
    """The windows of every hop whose two sides differ."""
    return [window for hop in HOPS for window in databases.windows(hop, start, until, minutes) if not window.equal]


def _send_again(settings: Settings, clickhouse: ClickHouse, unequal: Sequence[Window], healed: Healed) -> None:
    """Windows missing in landing come from the outbox; those that landed whole are derived again.

    Where the outbox was dropped, nobody knows whether they landed whole: they are sent again from the facts.
    """
    from_outbox = {(w.aggregate_type, w.start, w.end) for w in unequal if w.hop == LANDING.name}
    from_landing = {(w.aggregate_type, w.start, w.end) for w in unequal if w.hop == PROCESSED.name} - from_outbox
    # Nothing can be sent again of a fact whose outbox row is missing.
    hopeless = {(w.aggregate_type, w.start, w.end) for w in unequal if w.hop == OUTBOX.name}
    with psycopg.connect(settings.postgres_url, autocommit=True) as postgres:
        kept = kept_from(postgres, "outbox_log")
    from_outbox |= {window for window in from_landing if kept and window[1] < kept}
    from_landing -= from_outbox
    for kind, start, end in sorted(from_outbox, key=lambda w: (TYPES.index(w[0]), w[1])):
        healed.resent += resend(settings, start, end, (kind,))
    for kind, start, end in sorted(from_landing - hopeless):
        healed.derived += derive(clickhouse, start, end, (kind,))


def _slices(
    postgres: "psycopg.Connection[Any]", table: str, start: datetime, until: datetime, kind: str
) -> Iterator[tuple[datetime, datetime]]:
    """Parts of [start, until) in which `table`, a select with the placeholders of the span, has rows of that type."""
    if start >= until:
        return
    rows = postgres.execute(
        f"select distinct date_bin(%(slice)s, at, %(start)s) from ({table}) t "  # noqa: S608
        "where at >= %(start)s and at < %(until)s order by 1".encode(),
        {"slice": _SLICE, "start": start, "until": until, "kind": kind},
    ).fetchall()
    for (first,) in rows:
        yield first, min(first + _SLICE, until)
