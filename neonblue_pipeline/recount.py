"""Rollups against a recount of the events behind them."""

from datetime import date, datetime, timedelta
from typing import Any

from neonblue_pipeline import rollup
from neonblue_pipeline.clickhouse import ClickHouse

# Enough to name them, and every day has some: what heals marks the days.
_OF_A_DAY = 20


def event_days(clickhouse: ClickHouse, start: datetime, until: datetime) -> tuple[date, date] | None:
    """First and last UTC day of the events that were accepted in the span; late ones lie before it."""
    row = clickhouse.rows(
        """select min(event_date), max(event_date), count() from events_processed
           where created_at >= {start:DateTime64(6, 'UTC')} and created_at < {until:DateTime64(6, 'UTC')}""",
        {"start": start, "until": until},
    )[0]
    return (row[0], row[1]) if row[2] else None


def rollup_differences(
    clickhouse: ClickHouse, start: datetime, until: datetime
) -> tuple[list[dict[str, Any]], set[date]]:
    """Cells (20 of each rollup and day at most) in which rollups differ from a recount, for the days of the events
    accepted in the span.

    The second: days that were left out, as they wait to be built again.
    """
    days = event_days(clickhouse, start, until)
    if days is None:
        return [], set()
    waiting = _waiting(clickhouse)
    first = max(days[0], rollup.days_without_events_until(clickhouse) + timedelta(days=1))
    if first > days[1]:
        return [], set()
    bounds: dict[str, Any] = {"first_day": first, "last_day": days[1], "except": sorted(waiting), "of_a_day": _OF_A_DAY}
    found = clickhouse.read("rollup_differences", **bounds)
    # A day that became dirty while it was counted is no difference.
    waiting |= _waiting(clickhouse)
    return [row for row in found if row["day"] not in waiting], waiting


def _waiting(clickhouse: ClickHouse) -> set[date]:
    return {row["day"] for row in clickhouse.read("dirty_days")}
