"""Windows of acceptance, hop by hop: each database counts and sums its own ids; the ledger keeps what was proven.

No Dagster. A window is a span of created_at (PostgreSQL's clock) of one aggregate type.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.sqlfiles import read_sql

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING = (0, "0")
# Ids are read from so many of 4096 buckets when examples of a difference are wanted.
_BUCKETS_READ = 20
Key = tuple[str, datetime]
Sums = dict[Key, tuple[int, str]]


@dataclass(frozen=True)
class Side:
    """One place where ids are counted: a select of sql/read that gives aggregate_type, created_at, id."""

    what: str
    database: str
    ids: str


@dataclass(frozen=True)
class Hop:
    """Two places that must hold the same ids; `right` is the later one on an event's way."""

    name: str
    left: Side
    right: Side


FACTS = Side("PostgreSQL", "postgres", "ids_facts")
OUTBOX = Hop("outbox", FACTS, Side("the outbox", "postgres", "ids_outbox_facts"))
LANDING = Hop(
    "landing",
    Side("the outbox", "postgres", "ids_outbox"),
    Side("landing", "clickhouse", "ids_landing"),
)
PROCESSED = Hop("events_processed", FACTS, Side("ClickHouse", "clickhouse", "ids_processed"))
HOPS = (OUTBOX, LANDING, PROCESSED)


@dataclass(frozen=True)
class Window:
    """One window of created_at of one aggregate type, as found on both sides: (count, checksum) each."""

    aggregate_type: str
    start: datetime
    end: datetime
    postgres: tuple[int, str]
    clickhouse: tuple[int, str]
    hop: str = PROCESSED.name

    @property
    def equal(self) -> bool:
        return self.postgres == self.clickhouse

    def __str__(self) -> str:
        return (
            f"{self.hop}: {self.aggregate_type} {self.start:%Y-%m-%d %H:%M:%S} to {self.end:%H:%M:%S} UTC: "
            f"{self.postgres[0]:,} before this hop, {self.clickhouse[0]:,} after it"
        )


class Databases:
    """Both databases, asked for sums of ids in their own dialects."""

    def __init__(self, postgres: "psycopg.Connection[Any]", clickhouse: ClickHouse) -> None:
        self.postgres = postgres
        self.clickhouse = clickhouse

    def sums(self, side: Side, start: datetime, until: datetime, minutes: int) -> Sums:
        rows = self._read(side, "window_sums", start=start, until=until, minutes=minutes)
        return {
            (row["aggregate_type"], row["window_start"].astimezone(UTC)): (int(row["count"]), str(row["checksum"]))
            for row in rows
        }

    def windows(self, hop: Hop, start: datetime, until: datetime, minutes: int) -> list[Window]:
        """The windows in [start, until) that hold anything on either side; the first and the last may be cut."""
        left = self.sums(hop.left, start, until, minutes)
        right = self.sums(hop.right, start, until, minutes)
        step = timedelta(minutes=minutes)
        return [
            Window(
                kind,
                max(at, start),
                min(at + step, until),
                left.get((kind, at), _NOTHING),
                right.get((kind, at), _NOTHING),
                hop.name,
            )
            for kind, at in sorted(left.keys() | right.keys())
        ]

    def differences(self, hop: Hop, window: Window, limit: int = 5) -> tuple[list[str], list[str]]:
        """Examples of ids that are missing on the right, and of those that are only there; `limit` each at most."""
        bounds = {"start": window.start, "until": window.end, "aggregate_type": window.aggregate_type}
        left, right = (
            {
                row["bucket"]: (int(row["count"]), str(row["checksum"]))
                for row in self._read(side, "window_buckets", **bounds)
            }
            for side in (hop.left, hop.right)
        )
        unlike = sorted(bucket for bucket in left.keys() | right.keys() if left.get(bucket) != right.get(bucket))
        buckets = unlike[:_BUCKETS_READ]
        ids_left, ids_right = (
            {row["id"] for row in self._read(side, "window_ids", **bounds, buckets=buckets)}
            for side in (hop.left, hop.right)
        )
        return sorted(ids_left - ids_right)[:limit], sorted(ids_right - ids_left)[:limit]

    def _read(self, side: Side, ending: str, **parameters: Any) -> list[dict[str, Any]]:
        query = f"with ids as (\n{read_sql(f'read/{side.ids}')}\n)\n{read_sql(f'read/{ending}_{side.database}')}"
        if side.database == "clickhouse":
            return self.clickhouse.dicts(query, parameters)
        with self.postgres.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode(), parameters).fetchall()


def closed_until(postgres: "psycopg.Connection[Any]") -> datetime:
    """The moment before which no fact can appear any more."""
    row = postgres.execute(read_sql("read/closed_until").encode()).fetchone()
    assert row is not None
    return row[0].astimezone(UTC)


def first_fact(postgres: "psycopg.Connection[Any]", table: str = "outbox_log") -> datetime | None:
    """When the oldest row that is kept was written; None if there is none. Reads one day's partition, not all."""
    partitions = postgres.execute(
        "select inhrelid::regclass::text from pg_inherits where inhparent = %s::regclass order by 1", (table,)
    ).fetchall()
    for (partition,) in partitions:
        row = postgres.execute(f"select min(created_at) from {partition}").fetchone()  # noqa: S608
        if row and row[0]:
            return row[0].astimezone(UTC)
    return None


def closed_windows(
    postgres: "psycopg.Connection[Any]", minutes: int, recheck: timedelta = timedelta(0)
) -> tuple[datetime, datetime] | None:
    """From the first window that is not proven yet to the end of the last closed one; None if there is none.

    With `recheck` the proven windows of that time before the end are looked at again, too.
    """
    step = timedelta(minutes=minutes)
    closed = _floor(closed_until(postgres), step)
    row = postgres.execute(
        """select coalesce(min(window_start) filter (where proven_at is null or postgres_count <> clickhouse_count
                                                     or postgres_checksum <> clickhouse_checksum), max(window_end)),
                  (select min(created_at) from assignments)
           from reconciliation_windows"""
    ).fetchone()
    unproven, assigned = row or (None, None)
    first = min((at for at in (first_fact(postgres, "events"), assigned) if at is not None), default=None)
    start = unproven or first
    if start is None:
        return None
    if first is not None and recheck:
        start = max(first, min(start, closed - recheck))
    return None if _floor(start, step) >= closed else (_floor(start, step), closed)


def compare(
    postgres: "psycopg.Connection[Any]", clickhouse: ClickHouse, start: datetime, until: datetime, minutes: int
) -> list[Window]:
    """The windows in [start, until), facts in PostgreSQL against what can be queried in ClickHouse."""
    return Databases(postgres, clickhouse).windows(PROCESSED, start, until, minutes)


def record(postgres: "psycopg.Connection[Any]", windows: Sequence[Window]) -> None:
    """Writes what was found. A window keeps the time at which it was first proven, and loses it with a gap."""
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
                   proven_at = case when %(equal)s then coalesce(w.proven_at, excluded.proven_at) end""",
            [
                {
                    "start": w.start, "end": w.end, "kind": w.aggregate_type, "equal": w.equal,
                    "pc": w.postgres[0], "ps": w.postgres[1], "cc": w.clickhouse[0], "cs": w.clickhouse[1],
                }
                for w in windows
            ],
        )  # fmt: skip


def _floor(moment: datetime, step: timedelta) -> datetime:
    return moment - (moment - _EPOCH) % step
