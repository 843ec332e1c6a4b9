"""Ids of events of days that are over, copied to where intake looks them up at once (sql/postgres/064). No Dagster."""

from collections.abc import Callable
from datetime import date
from typing import Any

import psycopg

from neonblue_pipeline import kept


def remember(postgres: "psycopg.Connection[Any]", tell: Callable[[str], None] = lambda _: None) -> dict[date, int]:
    """Copies the ids of each day that is over and not copied yet, the oldest first; returns how many, by day."""
    days = [day.day for day in kept.days(postgres, "events") if not day.detached]
    due = postgres.execute(
        """select day from unnest(%s::date[]) as day, intake_days
           where day > known_until and day < (clock_timestamp() at time zone 'UTC')::date order by day""",
        (days,),
    ).fetchall()
    taken = {}
    for (day,) in due:
        postgres.execute("select ensure_known_ids_month(%s)", (day,))
        row = postgres.execute("select remember_event_ids(%s)", (day,)).fetchone()
        assert row is not None
        taken[day] = row[0]
        tell(f"took over {taken[day]:,} ids of {day}")
    return taken
