"""Dropping what is old, whole: days of outbox and events, months of landing; never one that is not proven. No Dagster.

A day of the outbox is dropped when the slot has passed everything that was written until now, each of its rows landed,
and each of its facts can be queried as it was accepted, which the ledger then says. A day of the events is dropped when
its outbox is gone and its facts are proven once more. The oldest goes first, and the first that is not proven stays
with all after it: what is kept has no holes.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from neonblue_pipeline import clickhouse as clickhouse_client
from neonblue_pipeline import reconcile, retention_analytics
from neonblue_pipeline.arrival import await_arrival
from neonblue_pipeline.kept import TABLES, Day, days, kept_from
from neonblue_pipeline.reconcile import LANDING, PROCESSED, Databases
from neonblue_pipeline.retained import Held, Retained
from neonblue_pipeline.settings import Settings

_PROVEN = "neonblue: proven, to be dropped"
_ONE_DAY = timedelta(days=1)


def drop_old_days(
    settings: Settings, *, patience_s: float = 60, tell: Callable[[str], None] = lambda _: None
) -> Retained:
    """Drops every day and month that is past its setting and proven. Safe to repeat, also after it was cut short."""
    done = Retained()
    today = datetime.now(UTC).date()
    keep = {"outbox_log": settings.outbox_keep_days, "events": settings.events_keep_days}
    with (
        psycopg.connect(settings.postgres_url, autocommit=True) as postgres,
        clickhouse_client.connect(settings, "neonblue_pipeline retention") as clickhouse,
    ):
        # A writer of facts must not wait for long behind this.
        postgres.execute("set lock_timeout = '5s'")
        databases = Databases(postgres, clickhouse)
        for table in TABLES:
            _end_drops(postgres, table)
            due = today - timedelta(days=keep[table]) if keep[table] else date.min
            old = [day for day in days(postgres, table) if day.day < due and not day.detached]
            behind = await_arrival(settings, patience_s) if old else None
            for number, day in enumerate(old):
                why = behind or _not_proven(databases, settings, day)
                if why is not None:
                    done.held.append(_held(old[number:], keep[table], why))
                    break
                _drop(postgres, day)
                tell(f"dropped {day.name}: {day.size:,} bytes")
                done.dropped.append(day.name)
                done.bytes_freed += day.size
        if first_kept := kept_from(postgres, "events"):
            postgres.execute("select forget_event_ids_before(%s)", (first_kept.date(),))
        if settings.landing_keep_days:
            retention_analytics.drop_landing(settings, postgres, clickhouse, today, done, tell)
        if settings.raw_events_keep_months:
            retention_analytics.drop_raw_events(settings, postgres, clickhouse, today, done, tell)
        if settings.dead_letters_keep_days:
            retention_analytics.drop_dead_letters(settings, clickhouse, done, tell)
    return done


def _not_proven(databases: Databases, settings: Settings, day: Day) -> str | None:
    """Why this day may not be dropped; None if it may. Its windows are compared now, and written into the ledger."""
    postgres, minutes = databases.postgres, settings.reconciliation_window_minutes
    start, end = day.start, day.start + _ONE_DAY
    if reconcile.closed_until(postgres) < end:
        return "a transaction that began on that day is still open"
    if day.table == "events" and ((outbox := kept_from(postgres, "outbox_log")) is None or outbox < end):
        return "its outbox is still kept"
    if day.table == "outbox_log":
        lost = [str(w) for w in databases.windows(LANDING, start, end, minutes) if not w.equal]
        if lost:
            return lost[0]
    windows = databases.windows(PROCESSED, start, end, minutes)
    reconcile.record(postgres, windows, start, end)
    row = postgres.execute(
        """select aggregate_type, window_start, postgres_count, clickhouse_count from reconciliation_windows
           where window_start < %s and window_end > %s and proven_at is null order by window_start limit 1""",
        (end, start),
    ).fetchone()
    if row is None:
        return None
    kind, at, accepted, found = row
    return (
        f"{kind} {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC is not proven: {accepted:,} accepted, {found:,} can be queried"
    )


def _held(old: list[Day], keep_days: int, why: str) -> Held:
    first, last = old[0], old[-1]
    cure = (
        f"`neonblue verify --from {first.day} --to {last.day + _ONE_DAY}` names what differs, `neonblue replay` sends "
        "it again; the next run drops what is proven then"
    )
    since = first.day + timedelta(days=keep_days + 1)
    return Held(first.table, first.day, len(old), sum(day.size for day in old), since, why, cure)


def _drop(postgres: "psycopg.Connection[Any]", day: Day) -> None:
    # By the comment a run after this one knows what it may drop, should this one be cut short.
    postgres.execute(f"comment on table {day.name} is '{_PROVEN}'".encode())
    postgres.execute(f"alter table {day.table} detach partition {day.name} concurrently".encode())
    postgres.execute(f"drop table {day.name}".encode())


def _end_drops(postgres: "psycopg.Connection[Any]", table: str) -> None:
    """Ends drops that were cut short; a day that somebody else detached is not ours to drop."""
    for day in days(postgres, table):
        if not day.detached:
            continue
        row = postgres.execute(
            """select obj_description(c.oid, 'pg_class'), coalesce(i.inhdetachpending, false)
               from pg_class c left join pg_inherits i on i.inhrelid = c.oid where c.oid = %s::regclass""",
            (day.name,),
        ).fetchone()
        said, pending = row or (None, False)
        if said != _PROVEN:
            continue
        if pending:
            postgres.execute(f"alter table {table} detach partition {day.name} finalize".encode())
        postgres.execute(f"drop table {day.name}".encode())
