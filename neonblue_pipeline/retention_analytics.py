"""Dropping what is old in ClickHouse: months of landing and of raw events, dead letters that are closed. No Dagster."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import psycopg

from neonblue_pipeline import rollup
from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.kept import kept_from
from neonblue_pipeline.retained import Held, Retained
from neonblue_pipeline.settings import Settings

Tell = Callable[[str], None]


def drop_landing(
    settings: Settings,
    postgres: "psycopg.Connection[Any]",
    clickhouse: ClickHouse,
    today: date,
    done: Retained,
    tell: Tell,
) -> None:
    """Months of landing whose outbox was dropped, and so was proven; what nobody has read yet stays."""
    outbox = kept_from(postgres, "outbox_log")
    for month in clickhouse.read("landing_months"):
        due = month["ended_on"] + timedelta(days=settings.landing_keep_days)
        # What the outbox still has is compared with landing; if its days are held, that is told of them.
        if due > today or outbox is None or month["created_to"] >= outbox:
            return
        name = f"landing {month['month']}"
        if month["open_letters"]:
            why = f"{month['open_letters']:,} dead letters in it were not sent again"
            cure = "`neonblue dead-letters` lists them, and sends them again or gives them up"
            done.held.append(Held(name, month["ended_on"], 1, 0, due, why, cure))
            return
        clickhouse.command(f"alter table landing_rows drop partition id '{month['month']}'")
        tell(f"dropped {name}: {month['rows']:,} messages")
        done.dropped.append(name)


def drop_raw_events(
    settings: Settings,
    postgres: "psycopg.Connection[Any]",
    clickhouse: ClickHouse,
    today: date,
    done: Retained,
    tell: Tell,
) -> None:
    """Months of raw events whose days PostgreSQL dropped, and whose every window the ledger proves.

    Rollups and results of them stay for ever, and are not built again: what comes late for those days is kept as an
    event and counted nowhere.
    """
    events = kept_from(postgres, "events")
    for month in clickhouse.read("raw_event_months"):
        due = _months_after(month["ended_on"], settings.raw_events_keep_months)
        if due > today:
            return
        name = f"raw events {month['month']}"
        why = None
        if events is None or events.date() < month["ended_on"]:
            why = "PostgreSQL still keeps days of it, and would send them again"
            cure = "`neonblue prune` drops them when they are past NEONBLUE_EVENTS_KEEP_DAYS and proven"
        elif not _is_proven(postgres, month):
            why = f"the ledger does not prove all of its {month['events']:,} events"
            cure = "`neonblue verify` names the windows that are not proven, `neonblue replay` sends them again"
        if why:
            done.held.append(Held(name, month["ended_on"], 1, month["bytes"], due, why, cure))
            return
        with rollup.lock(settings, "neonblue_pipeline retention") as builder:
            # What waits is built while the events are there; from then on its days stay as they are.
            rollup.build(builder, settings)
            rows = [[int(month["month"]), month["ended_on"] - timedelta(days=1), month["events"]]]
            builder.insert("raw_events_dropped", ["month", "until", "events"], rows)
            builder.command(f"alter table events_rows drop partition id '{month['month']}'")
        tell(f"dropped {name}: {month['events']:,} events")
        done.dropped.append(name)


def drop_dead_letters(settings: Settings, clickhouse: ClickHouse, done: Retained, tell: Tell) -> None:
    """Dead letters that were sent again or given up so long ago; open ones stay."""
    bounds = {"days": settings.dead_letters_keep_days}
    position = "topic, partition, offset, kafka_timestamp"
    closed = (
        f"received_at < now64(6) - toIntervalDay({{days:UInt32}}) and ({position}) in (select {position} "  # noqa: S608
        "from dead_letters_replayed where replayed_at < now64(6) - toIntervalDay({days:UInt32}))"
    )
    number = clickhouse.rows(f"select count() from dead_letters_rows where {closed}", bounds)[0][0]  # noqa: S608
    if number:
        clickhouse.command(f"alter table dead_letters_rows delete where {closed}", bounds, mutations_sync=2)
        tell(f"dropped {number:,} dead letters")
        done.dropped.append(f"{number} dead letters")


def _is_proven(postgres: "psycopg.Connection[Any]", month: dict[str, Any]) -> bool:
    row = postgres.execute(
        """select count(*) filter (where proven_at is null), coalesce(sum(clickhouse_count), 0)
           from reconciliation_windows
           where aggregate_type = 'event' and window_start >= %s and window_start < %s""",
        (month["began_on"], month["ended_on"]),
    ).fetchone()
    assert row is not None
    return row[0] == 0 and row[1] >= month["events"]


def _months_after(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return day.replace(year=year, month=month + 1)
