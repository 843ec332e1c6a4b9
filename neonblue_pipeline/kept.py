"""What PostgreSQL still keeps: the day partitions of events and outbox, the first fact in them. No Dagster."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import psycopg

TABLES = ("outbox_log", "events")


@dataclass(frozen=True)
class Day:
    """One day partition: its UTC day, its size in bytes; `detached` if a drop was begun and not ended."""

    table: str
    name: str
    day: date
    size: int
    detached: bool

    @property
    def start(self) -> datetime:
        return datetime.combine(self.day, time(), UTC)


def days(postgres: "psycopg.Connection[Any]", table: str) -> list[Day]:
    """The day partitions of `events` or `outbox_log`, the oldest first; those of a drop that was cut short, too."""
    rows = postgres.execute(
        """select c.relname, to_date(right(c.relname, 8), 'YYYYMMDD'), pg_total_relation_size(c.oid),
                  i.inhrelid is null or i.inhdetachpending
           from pg_class c left join pg_inherits i on i.inhrelid = c.oid
           where c.relnamespace = (select relnamespace from pg_class where oid = %(table)s::regclass)
             and c.relkind = 'r' and c.relname ~ ('^' || %(table)s || '_p[0-9]{8}$')
           order by 2""",
        {"table": table},
    ).fetchall()
    return [Day(table, name, day, size, detached) for name, day, size, detached in rows]


def kept_from(postgres: "psycopg.Connection[Any]", table: str) -> datetime | None:
    """The beginning of the oldest day of which `table` still has everything; None before the first setup."""
    return next((day.start for day in days(postgres, table) if not day.detached), None)


def first_fact(postgres: "psycopg.Connection[Any]", table: str = "outbox_log") -> datetime | None:
    """When the oldest row that is kept was written; None if there is none. Reads one day's partition, not all."""
    for day in days(postgres, table):
        if day.detached:
            continue
        row = postgres.execute(f"select min(created_at) from {day.name}").fetchone()  # noqa: S608
        if row and row[0]:
            return row[0].astimezone(UTC)
    return None


def first_kept(postgres: "psycopg.Connection[Any]") -> datetime | None:
    """When the oldest fact that PostgreSQL keeps in any table was accepted; None if there is none."""
    row = postgres.execute(
        """select least((select min(created_at) from assignments),
                        (select min(updated_at) from experiments where revision > 0))"""
    ).fetchone()
    found = [row[0].astimezone(UTC) if row and row[0] else None, *(first_fact(postgres, table) for table in TABLES)]
    return min((at for at in found if at is not None), default=None)
