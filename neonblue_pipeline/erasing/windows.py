"""The ledger of reconciliation after an erasure: both sides of each window change by the person's share."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.kept import kept_from
from neonblue_pipeline.reconcile import PROCESSED, Databases, Window
from neonblue_pipeline.sqlfiles import read_sql

Minutes = dict[str, list[str]]
_ROWS = """
    select distinct w.window_start, w.window_end from reconciliation_windows w
    join unnest(%s::timestamptz[]) as minute on w.window_start <= minute and minute < w.window_end
    where w.aggregate_type = %s order by 1"""
_THEIR_IDS = """ids as (
    select * from facts where aggregate_type = 'event' and id in (
        select toString(id) from events_rows where user_id in (select user_id from erasing_users))
)"""
_UPDATE = """
    update reconciliation_windows
    set postgres_count = %(pc)s, clickhouse_count = %(cc)s, postgres_checksum = %(ps)s, clickhouse_checksum = %(cs)s,
        checked_at = now(), proven_at = case when %(equal)s then coalesce(proven_at, now()) end
    where window_start = %(start)s and aggregate_type = %(kind)s"""
_SUBTRACT = """
    update reconciliation_windows
    set postgres_count = postgres_count - %(count)s, clickhouse_count = clickhouse_count - %(count)s,
        postgres_checksum = (postgres_checksum::numeric - %(checksum)s::numeric)::text,
        clickhouse_checksum = (clickhouse_checksum::numeric - %(checksum)s::numeric)::text
    where window_start = %(start)s and aggregate_type = 'event'"""


def shares(postgres: "psycopg.Connection[Any]", clickhouse: ClickHouse, minutes: Minutes) -> list[dict[str, Any]]:
    """What the people in erasing_users have in windows of days that only ClickHouse still keeps, before it is deleted.

    PostgreSQL has nothing to compare there any more: their share is taken from both sides of the entry.
    """
    kept = kept_from(postgres, "events")
    if kept is None:
        return []
    found = []
    old = [minute for minute in _moments(minutes.get("event", ())) if minute < kept]
    for start, end in postgres.execute(_ROWS, (old, "event")).fetchall():
        length = int((end - start) / timedelta(minutes=1))
        bounds = {"start": start, "until": end, "events_start": start, "minutes": length}
        facts = f"with facts as (\n{read_sql('read/ids_processed')}\n)"
        query = f"{facts}, {_THEIR_IDS}\n{read_sql('read/window_sums_clickhouse')}"
        found += [
            {"start": start.isoformat(), "count": int(row["count"]), "checksum": str(row["checksum"])}
            for row in clickhouse.dicts(query, bounds)
        ]
    return found


def subtract(postgres: "psycopg.Connection[Any]", found: Iterable[dict[str, Any]]) -> None:
    """Takes the shares from the entries; call it in the transaction that records that it was done."""
    with postgres.cursor() as cursor:
        cursor.executemany(_SUBTRACT, list(found))


def compare_again(postgres: "psycopg.Connection[Any]", clickhouse: ClickHouse, minutes: Minutes) -> int:
    """Counts both sides of each entry anew that these minutes lie in; returns how many. Again, it changes nothing."""
    databases = Databases(postgres, clickhouse)
    kept = kept_from(postgres, "events")
    entries = 0
    for kind in ("event", "assignment"):
        moments = [at for at in _moments(minutes.get(kind, ())) if kind != "event" or kept is None or at >= kept]
        for start, end in postgres.execute(_ROWS, (moments, kind)).fetchall():
            length = int((end - start) / timedelta(minutes=1))
            now = [w for w in databases.windows(PROCESSED, start, end, length) if w.aggregate_type == kind]
            window = now[0] if now else Window(kind, start, end, (0, "0"), (0, "0"))
            postgres.execute(
                _UPDATE,
                {
                    "pc": window.postgres[0], "ps": window.postgres[1], "cc": window.clickhouse[0],
                    "cs": window.clickhouse[1], "equal": window.equal, "start": start, "kind": kind,
                },
            )  # fmt: skip
            entries += 1
    return entries


def _moments(told: Iterable[str]) -> list[datetime]:
    """Minutes as both databases write them, in UTC."""
    found = {datetime.fromisoformat(text) for text in told}
    return sorted(at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC) for at in found)
