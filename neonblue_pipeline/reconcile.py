"""Count and checksum of each closed window, PostgreSQL against ClickHouse, into reconciliation_windows. No Dagster."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.sqlfiles import read_sql

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Sums = dict[tuple[str, datetime], tuple[int, str]]


@dataclass(frozen=True)
class Window:
    """One window of created_at of one aggregate type, as found on both sides."""

    aggregate_type: str
    start: datetime
    end: datetime
    postgres: tuple[int, str]
    clickhouse: tuple[int, str]

    @property
    def equal(self) -> bool:
        return self.postgres == self.clickhouse


def closed_windows(postgres: "psycopg.Connection[Any]", minutes: int) -> tuple[datetime, datetime] | None:
    """From the first window that is not proven yet to the end of the last closed one; None if there is none."""
    step = timedelta(minutes=minutes)
    closed = _floor(postgres.execute(read_sql("read/closed_until")).fetchone()[0], step)  # type: ignore[index]
    row = postgres.execute(
        """select coalesce(min(window_start) filter (where proven_at is null or postgres_count <> clickhouse_count
                                                     or postgres_checksum <> clickhouse_checksum), max(window_end)),
                  least((select min(created_at) from events), (select min(created_at) from assignments))
           from reconciliation_windows"""
    ).fetchone()
    unproven, first_fact = row or (None, None)
    start = unproven or first_fact
    if start is None or _floor(start, step) >= closed:
        return None
    return _floor(start, step), closed


def compare(
    postgres: "psycopg.Connection[Any]", clickhouse: ClickHouse, start: datetime, until: datetime, minutes: int
) -> list[Window]:
    """The windows in [start, until) that hold anything on either side. Each database adds up its own rows."""
    bounds = {"start": start, "until": until, "minutes": minutes}
    with postgres.cursor(row_factory=dict_row) as cursor:
        accepted = _by_window(cursor.execute(read_sql("read/window_sums_postgres").encode(), bounds).fetchall())
    queried = _by_window(clickhouse.read("window_sums_clickhouse", **bounds))
    nothing = (0, "0")
    return [
        Window(
            kind,
            at,
            at + timedelta(minutes=minutes),
            accepted.get((kind, at), nothing),
            queried.get((kind, at), nothing),
        )
        for kind, at in sorted(accepted.keys() | queried.keys())
    ]


def record(postgres: "psycopg.Connection[Any]", windows: list[Window]) -> None:
    """Writes what was found; a window keeps the time at which it was first proven."""
    with postgres.cursor() as cursor:
        cursor.executemany(
            """insert into reconciliation_windows as w (window_start, window_end, aggregate_type, postgres_count,
                   clickhouse_count, postgres_checksum, clickhouse_checksum, checked_at, proven_at)
               values (%(start)s, %(end)s, %(kind)s, %(pc)s, %(cc)s, %(ps)s, %(cs)s, now(),
                       case when %(equal)s then now() end)
               on conflict (window_start, aggregate_type) do update
               set window_end = excluded.window_end, postgres_count = excluded.postgres_count,
                   clickhouse_count = excluded.clickhouse_count, postgres_checksum = excluded.postgres_checksum,
                   clickhouse_checksum = excluded.clickhouse_checksum, checked_at = excluded.checked_at,
                   proven_at = coalesce(w.proven_at, excluded.proven_at)""",
            [
                {
                    "start": w.start, "end": w.end, "kind": w.aggregate_type, "equal": w.equal,
                    "pc": w.postgres[0], "ps": w.postgres[1], "cc": w.clickhouse[0], "cs": w.clickhouse[1],
                }
                for w in windows
            ],
        )  # fmt: skip


def _by_window(rows: list[dict[str, Any]]) -> Sums:
    return {
        (row["aggregate_type"], row["window_start"].astimezone(UTC)): (int(row["count"]), str(row["checksum"]))
        for row in rows
    }


def _floor(moment: datetime, step: timedelta) -> datetime:
    return moment - (moment - _EPOCH) % step
