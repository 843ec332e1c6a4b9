"""Windows of acceptance, hop by hop: each database counts its own facts and sums their digests; the ledger keeps what
was proven.

No Dagster. A window is a span of created_at (PostgreSQL's clock) of one aggregate type.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.kept import first_kept, kept_from
from neonblue_pipeline.sqlfiles import read_sql

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING = (0, "0")
# Ids are read from so many of 4096 buckets when examples of a difference are wanted.
_BUCKETS_READ = 20
Key = tuple[str, datetime]
Sums = dict[Key, tuple[int, str]]


@dataclass(frozen=True)
class Side:
    """One place where facts are counted: a select of sql/read that gives aggregate_type, created_at, id, digest."""

    what: str
    database: str
    ids: str


@dataclass(frozen=True)
class Hop:
    """Two places that must hold the same facts; `right` is the later one on an event's way.

    It is compared as far back as PostgreSQL has every day of the table `since`; None: as far back as there are facts.
    """

    name: str
    left: Side
    right: Side
    since: str | None = "outbox_log"


FACTS = Side("PostgreSQL", "postgres", "ids_facts")
OUTBOX = Hop("outbox", FACTS, Side("the outbox", "postgres", "ids_outbox_facts"))
LANDING = Hop(
    "landing",
    Side("the outbox", "postgres", "ids_outbox"),
    Side("landing", "clickhouse", "ids_landing"),
)
PROCESSED = Hop("events_processed", FACTS, Side("ClickHouse", "clickhouse", "ids_processed"), since=None)
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


@dataclass(frozen=True)
class Differences:
    """Examples of ids: missing after a hop, only there, there with another content."""

    missing: list[str]
    surplus: list[str]
    changed: list[str]


class Databases:
    """Both databases, asked for sums of digests in their own dialects."""

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
        """The windows in [start, until) that hold anything on either side; the first and the last may be cut.

        Days that retention dropped are left out: their proof is in the ledger.
        """
        kept = kept_from(self.postgres, hop.since) if hop.since else None
        start = max(start, kept) if kept else start
        if start >= until:
            return []
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

    def differences(self, hop: Hop, window: Window, limit: int = 5) -> Differences:
        """Examples of the facts in which the two sides of a window differ, `limit` of each kind at most."""
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
        before, after = (
            {row["id"]: int(row["digest"]) for row in self._read(side, "window_ids", **bounds, buckets=buckets)}
            for side in (hop.left, hop.right)
        )
        changed = [name for name in before.keys() & after.keys() if before[name] != after[name]]
        return Differences(
            sorted(before.keys() - after.keys())[:limit],
            sorted(after.keys() - before.keys())[:limit],
            sorted(changed)[:limit],
        )

    def _read(self, side: Side, ending: str, **parameters: Any) -> list[dict[str, Any]]:
        query = f"with ids as (\n{read_sql(f'read/{side.ids}')}\n)\n{read_sql(f'read/{ending}_{side.database}')}"
        if side.database == "clickhouse":
            kept = kept_from(self.postgres, "events")
            start = parameters["start"]
            parameters["events_start"] = max(start, kept) if kept else start
            return self.clickhouse.dicts(query, parameters)
        with self.postgres.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode(), parameters).fetchall()


def closed_until(postgres: "psycopg.Connection[Any]") -> datetime:
    """The moment before which no fact can appear any more."""
    row = postgres.execute(read_sql("read/closed_until").encode()).fetchone()
    assert row is not None
    return row[0].astimezone(UTC)


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
                                                     or postgres_checksum <> clickhouse_checksum), max(window_end))
           from reconciliation_windows"""
    ).fetchone()
    first = first_kept(postgres)
    start = (row[0] if row else None) or first
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


def record(postgres: "psycopg.Connection[Any]", windows: Sequence[Window], start: datetime, until: datetime) -> None:
    """Writes what was found in [start, until). A window keeps the time of its first proof, and loses it with a gap."""
    with postgres.transaction(), postgres.cursor() as cursor:
        # An assignment that was taken back, an experiment that was changed again: its window holds nothing any more.
        cursor.execute(
            """update reconciliation_windows
               set postgres_count = 0, clickhouse_count = 0, postgres_checksum = '0', clickhouse_checksum = '0',
                   checked_at = now(), proven_at = coalesce(proven_at, now())
               where window_start >= %s and window_end <= %s and aggregate_type in ('assignment', 'experiment')
                 and not (aggregate_type, window_start) in (select * from unnest(%s::text[], %s::timestamptz[]))""",
            (start, until, [w.aggregate_type for w in windows], [w.start for w in windows]),
        )
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
