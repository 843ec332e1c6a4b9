"""Parts `storage` and `volume`: the bytes of an event on disk, and what each place keeps of it until its retention."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

from bench import client
from bench.client import Plan
from bench.feeds import Batches, DistinctBatches
from bench.figures import Figure
from bench.rig import EXPERIMENT, BenchError, Rig
from neonblue_pipeline import kafka
from neonblue_pipeline.arrival import await_arrival
from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.settings import SLOT, TOPIC
from neonblue_pipeline.sqlfiles import read_sql

_MESSAGES = 2_000
_CONFIRMED_S = 60
_IN_POSTGRES = """
    select (select sum(pg_total_relation_size(inhrelid)) from pg_inherits where inhparent = 'events'::regclass),
           (select sum(pg_total_relation_size(inhrelid)) from pg_inherits where inhparent = 'outbox_log'::regclass),
           (select count(*) from events), (select sum(size) from pg_ls_waldir())"""
# Vacuum writes to the log whenever it likes, and the slot confirms that with a heartbeat, every ten seconds.
_LOOKS = 15
# As neonblue_local/parts/postgresql.conf sets it; checkpoints may run over it for a moment.
_MAX_WAL_MB = 1_074


def storage(rig: Rig) -> Iterator[Figure]:
    """Distinct events with random ids through the API; then alone in a table like events_rows, merged."""
    rig.settle()
    count, prefix = rig.pick(400_000, 100_000), "store"
    # From the browser's body to the table nothing is repeated: users, sessions, payloads and ids are drawn.
    feed = DistinctBatches(count, count // 20, prefix)
    sent = client.run(rig.target, Plan(feed, 2, 600)).only(202)
    rig.check_exact()
    with rig.clickhouse() as clickhouse:
        alone, together = _envelope_bytes(rig, clickhouse)
        _, young, _ = _stored(clickhouse, prefix, days_old=0)
        rows, on_disk, columns = _stored(clickhouse, prefix, days_old=2)
    if rows < count:
        raise BenchError(f"{rows:,} of {count:,} distinct events are in events_rows")
    json = sent.event_bytes / sent.events
    yield Figure(
        "storage", "JSON of the client : bytes on disk", json / on_disk, ": 1", 12,
        note=f"{rows:,} distinct events of {json:.0f} bytes, a day after; largest columns in bytes an event: {columns}",
    )  # fmt: skip
    yield Figure("storage", "change envelope : bytes on disk", alone / on_disk, ": 1", 35,
                 note=f"{alone:.0f} bytes a message that tells of one event; {together:.0f} an event over all of them, "
                 f"which are {together / on_disk:.1f} : 1")  # fmt: skip
    yield Figure("storage", "an event in events_processed", on_disk, "bytes", None, "less", "JSON of the client", json)
    yield Figure("storage", "the same in its first day", young, "bytes", None, "less", "JSON of the client", json)


def _stored(clickhouse: ClickHouse, prefix: str, *, days_old: int) -> tuple[int, float, str]:
    """The events of these users alone in a table like events_rows, merged, as if accepted so many days ago.

    Returns the number of rows, bytes on disk an event, and the largest columns, for a note.
    """
    clickhouse.command("create table bench_storage as events_rows")
    try:
        clickhouse.command(
            f"insert into bench_storage select * replace (created_at - interval {days_old} day as created_at) "  # noqa: S608
            f"from events_rows final where startsWith(user_id, '{prefix}-')"
        )
        clickhouse.command("optimize table bench_storage final")
        rows, size = _parts(clickhouse, "bench_storage")
        columns = clickhouse.rows(
            "select name, data_compressed_bytes from system.columns where database = currentDatabase() "
            "and table = 'bench_storage' order by 2 desc limit 4"
        )
    finally:
        clickhouse.command("drop table bench_storage sync")
    return rows, size / rows, ", ".join(f"{name} {compressed / rows:.1f}" for name, compressed in columns)


def volume(rig: Rig) -> Iterator[Figure]:
    """Bytes an event at each place, and whether the write-ahead log is given back once all of it has arrived.

    How much stands there in the end is this times the events of the days that the settings keep: OUTBOX_KEEP_DAYS,
    EVENTS_KEEP_DAYS, LANDING_KEEP_DAYS, TOPIC_KEEP_HOURS. Whole days are dropped, so it does not grow further.
    """
    rig.population()
    events = _count(rig)
    if events < 50_000:
        plan = Plan(Batches(rig.users, EXPERIMENT), 8, 600, requests=100)
        events += client.run(rig.target, plan).only(202).events
    rig.check_exact()
    if behind := await_arrival(rig.settings, _CONFIRMED_S):
        raise BenchError(behind)
    with rig.postgres() as postgres, rig.clickhouse() as clickhouse:
        unread = min(_unread_bytes(postgres) for _ in range(_LOOKS))
        row = postgres.execute(_IN_POSTGRES).fetchone()
        _, landing = _parts(clickhouse, "landing_rows")
    assert row is not None
    events_size, outbox_size, facts, wal = map(float, row)
    topic = rig.stack.home.data("kafka").rglob(f"{TOPIC}-*/*.log")
    kept: Sequence[tuple[str, float]] = (
        ("PostgreSQL, events with indexes", events_size / facts),
        ("PostgreSQL, outbox", outbox_size / facts),
        ("Kafka, topic", sum(path.stat().st_size for path in topic) / facts),
        ("ClickHouse, landing", landing / facts),
    )
    for place, size in kept:
        yield Figure("volume", f"{place}, kept", size, "bytes/event", None, "less")
    yield Figure("volume", "log unread when all has arrived", unread / 1e6, "MB", 16, "less",
                 note=f"after {events:,} events, least of {_LOOKS} looks: it does not grow with them")  # fmt: skip
    yield Figure("volume", "write-ahead log on disk", wal / 1e6, "MB", 1.25 * _MAX_WAL_MB, "less",
                 note="max_wal_size and a quarter: checkpoints run beside the load")  # fmt: skip


def _unread_bytes(postgres: "psycopg.Connection[Any]") -> int:
    """Log that the slot has not confirmed, a second after the look before."""
    time.sleep(1)
    row = postgres.cursor(row_factory=dict_row).execute(read_sql("read/unread_wal").encode(), {"slot": SLOT}).fetchone()
    assert row is not None
    return int(row["unread_bytes"])


def _count(rig: Rig) -> int:
    with rig.postgres() as postgres:
        row = postgres.execute("select count(*) from events").fetchone()
    return row[0] if row else 0


def _parts(clickhouse: ClickHouse, table: str) -> tuple[int, int]:
    """Rows and bytes on disk of a table."""
    rows, size = clickhouse.rows(
        "select sum(rows), sum(bytes_on_disk) from system.parts "
        "where database = currentDatabase() and table = {table:String} and active",
        {"table": table},
    )[0]
    return int(rows), int(size)


def _envelope_bytes(rig: Rig, clickhouse: ClickHouse) -> tuple[float, float]:
    """Bytes of the last messages of a partition, values only: a message that tells of one event; an event of all."""
    partition, (begin, end) = next(iter(kafka.end_offsets(rig.settings).items()))
    first = max(begin, end - _MESSAGES)
    told = clickhouse.rows(
        "select offset, if(startsWith(payload, '['), JSONLength(payload), 1) from landing "
        "where partition = {p:UInt32} and offset >= {first:UInt64} and aggregate_type = 'event'",
        {"p": partition, "first": first},
    )
    events = {int(offset): int(number) for offset, number in told}
    sizes = {m.offset: m.size for m in kafka.read(rig.settings, partition, first, end - 1) if m.offset in events}
    alone = [size for offset, size in sizes.items() if events[offset] == 1]
    return sum(alone) / len(alone), sum(sizes.values()) / sum(events[offset] for offset in sizes)
