"""What each store holds, since when, and how long it keeps it. Reads, never writes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from neonblue_pipeline import clickhouse as clickhouse_client
from neonblue_pipeline import kafka
from neonblue_pipeline.kept import kept_from
from neonblue_pipeline.settings import TOPIC, Settings, psycopg_url


@dataclass(frozen=True)
class Holding:
    """One store: rows and bytes on disk, the oldest, and what the setting says.

    counted: false where counting the rows takes longer than a second: PostgreSQL's estimate stands for them, and the
        first day that is kept for the oldest, where there are days.
    """

    store: str
    rows: int
    bytes: int | None
    since: datetime | None
    keeps: str
    counted: bool = True


def held(settings: Settings) -> list[Holding]:
    """Every store in the order of the way; raises what the client of a server that is down raises."""
    with psycopg.connect(settings.postgres_url, autocommit=True, connect_timeout=5) as postgres:
        found = _postgres(settings, postgres)
    found.append(_topic(settings))
    with clickhouse_client.connect(settings, "neonblue status") as clickhouse:
        found += _clickhouse(settings, clickhouse.dicts)
    return [*found, *_dagster(settings)]


def _postgres(settings: Settings, postgres: "psycopg.Connection[Any]") -> list[Holding]:
    keeps = {
        "outbox_log": _days(settings.outbox_keep_days),
        "events": _days(settings.events_keep_days),
        "assignments": "for ever",
    }
    # Who holds a lock is waited for so long only: status is asked when something is wrong.
    postgres.execute("set lock_timeout = '3s'")
    return [_table(postgres, table, kept) for table, kept in keeps.items()]


def _table(postgres: "psycopg.Connection[Any]", table: str, keeps: str) -> Holding:
    """A table, or a table of day partitions; counted in a second, or estimated, since the first day that is kept."""
    row = postgres.execute(
        # A day that was never analysed has -1; a parent's estimate is that of all its days once more.
        """select coalesce(sum(greatest(reltuples, 0)), 0)::bigint,
                  coalesce(sum(pg_total_relation_size(oid)), 0)::bigint
           from pg_class left join pg_inherits on inhrelid = oid
           where relkind = 'r' and %(table)s::regclass in (oid, inhparent)""",
        {"table": table},
    ).fetchone()
    assert row is not None
    try:
        with postgres.transaction():
            postgres.execute("set local statement_timeout = '1s'")
            counted = postgres.execute(f"select count(*), min(created_at) from {table}".encode()).fetchone()  # noqa: S608
    except psycopg.errors.QueryCanceled:
        return Holding(table, row[0], row[1], kept_from(postgres, table), keeps, counted=False)
    assert counted is not None
    return Holding(table, counted[0], row[1], counted[1], keeps)


def _topic(settings: Settings) -> Holding:
    """Messages of the topic; their bytes are the broker's, of all replicas."""
    ends = kafka.end_offsets(settings)
    first = min(kafka.first_timestamps(settings).values(), default=None)
    hours = settings.topic_keep_hours
    return Holding(
        f"topic {TOPIC}", sum(end - begin for begin, end in ends.values()), kafka.bytes_on_disk(settings), first,
        f"{hours // 24} days" if hours % 24 == 0 else f"{hours} hours",
    )  # fmt: skip


def _clickhouse(settings: Settings, read: Callable[[str], list[dict[str, Any]]]) -> list[Holding]:
    months = settings.raw_events_keep_months
    stores = (
        ("landing", ("landing_rows",), "min(kafka_timestamp)", _days(settings.landing_keep_days)),
        ("events_processed", ("events_rows",), "min(created_at)", f"{months} months" if months else "for ever"),
        ("assignments_mv", ("assignments_rows",), "min(created_at)", "for ever"),
        ("dead_letters", ("dead_letters_rows",), "min(kafka_timestamp)", _days(settings.dead_letters_keep_days)),
        ("rollups", ("user_journeys", "user_rollup", "user_days", "hourly_metrics", "daily_metrics"), "min(day)",
         "for ever"),
        ("results", ("experiment_results_rows", "experiment_quality_rows", "experiment_segments_rows",
                     "experiment_dimensions_rows"), "min(cutoff_at)", "for ever"),
    )  # fmt: skip
    sizes = {
        row["table"]: row
        for row in read(
            """select table, sum(rows) as rows, sum(bytes_on_disk) as bytes from system.parts
               where database = currentDatabase() and active group by table"""
        )
    }
    found = []
    for store, tables, oldest, keeps in stores:
        rows = sum(sizes[table]["rows"] for table in tables if table in sizes)
        size = sum(sizes[table]["bytes"] for table in tables if table in sizes)
        since = read(f"select {oldest} as since from {tables[0]}")[0]["since"] if rows else None  # noqa: S608
        found.append(Holding(store, rows, size, _moment(since), keeps))
    return found


def _dagster(settings: Settings) -> list[Holding]:
    """Runs in Dagster's own storage, with their logs; none where this process does not know it."""
    if settings.dagster_postgres_url is None:
        return []
    with psycopg.connect(psycopg_url(settings.dagster_postgres_url), connect_timeout=5) as postgres:
        # Dagster makes its tables when it first starts.
        known = postgres.execute("select to_regclass('runs')").fetchone()
        if known is None or known[0] is None:
            return []
        row = postgres.execute(
            """select count(*), min(create_timestamp) at time zone 'UTC',
                      pg_total_relation_size('runs') + pg_total_relation_size('event_logs') from runs"""
        ).fetchone()
        assert row is not None
        return [Holding("Dagster runs", row[0], row[2], row[1], _days(settings.dagster_keep_days))]


def _days(days: int) -> str:
    return f"{days} days" if days else "for ever"


def _moment(found: Any) -> datetime | None:
    if found is None or isinstance(found, datetime):
        return found
    return datetime(found.year, found.month, found.day, tzinfo=UTC)
