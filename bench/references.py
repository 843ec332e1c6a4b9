"""What somebody would do instead, in the same run on the same servers: inserts, a polling relay, Debezium as it is."""

import threading
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import clickhouse_connect
import httpx
import psycopg
from kafka import KafkaConsumer, TopicPartition
from psycopg.types.json import Jsonb

from bench.feeds import DistinctBatches
from bench.rig import BenchError, Rig
from neonblue_pipeline import connector, kafka
from neonblue_pipeline.settings import DATABASE

_BARE = """(event_id uuid primary key, user_id text not null, event_type text not null, timestamp timestamptz not null,
            session_id text, properties jsonb not null, created_at timestamptz not null)"""
_INSERT = "insert into bench_bare values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing"
DEFAULT_SLOT = DEFAULT_CONNECTOR = "bench_default"


def commits(rig: Rig, seconds: float, connections: int = 1) -> float:
    """Durable commits a second: a row of a few bytes each, by so many connections at once."""
    done = [0] * connections
    end = time.monotonic() + seconds

    def work(number: int) -> None:
        with rig.postgres() as postgres:
            while time.monotonic() < end:
                postgres.execute("insert into bench_commits values (%s)", (number,))
                done[number] += 1

    with rig.postgres() as postgres:
        postgres.execute("create table bench_commits (n int)")
        threads = [threading.Thread(target=work, args=(number,)) for number in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        postgres.execute("drop table bench_commits")
    return sum(done) / seconds


def bulk_insert(rig: Rig, seconds: float) -> float:
    """Events a second by executemany of 500 a transaction into one bare table: no validation, no outbox, no HTTP."""
    rows = _rows(5_000)
    with rig.postgres() as postgres:
        postgres.execute(f"create table bench_bare {_BARE}".encode())
        done, began = 0, time.monotonic()
        while time.monotonic() < began + seconds:
            batch = [(uuid4(), *row[1:]) for row in rows[done % 5_000 : done % 5_000 + 500]]
            with postgres.transaction(), postgres.cursor() as cursor:
                cursor.executemany(_INSERT, batch)
            done += len(batch)
        took = time.monotonic() - began
        postgres.execute("drop table bench_bare")
    return done / took


def relay(rig: Rig, rows: int) -> float:
    """Rows a second of a polling relay: 5,000 at a time out of an outbox table, into ClickHouse, marked, committed."""
    with rig.postgres() as postgres, clickhouse(rig) as target:
        postgres.execute("create table bench_outbox (id bigint generated always as identity primary key, "
                         "payload jsonb not null, processed_at timestamptz)")  # fmt: skip
        postgres.execute("create index on bench_outbox (id) where processed_at is null")
        postgres.execute("insert into bench_outbox (payload) select payload from outbox_events "
                         "where aggregate_type = 'event' limit %s", (rows,))  # fmt: skip
        target.command("create table bench_relay (id UInt64, payload String) engine = MergeTree order by id")
        done, began = 0, time.monotonic()
        while True:
            with postgres.transaction():
                taken = postgres.execute(
                    "select id, payload::text from bench_outbox where processed_at is null "
                    "order by id limit 5000 for update skip locked"
                ).fetchall()
                if not taken:
                    break
                target.insert("bench_relay", taken, column_names=["id", "payload"])
                postgres.execute(
                    "update bench_outbox set processed_at = now() where id = any(%s)", ([row[0] for row in taken],)
                )
            done += len(taken)
        took = time.monotonic() - began
        postgres.execute("drop table bench_outbox")
        target.command("drop table bench_relay sync")
    return done / took


def direct_insert(rig: Rig, seconds: float) -> float:
    """Events a second by clickhouse-connect into one table, 5,000 at a time: nothing durable before it."""
    rows = [(*row[:5], row[5].obj["page"], row[6]) for row in _rows(5_000)]
    names = ["event_id", "user_id", "event_type", "timestamp", "session_id", "page", "created_at"]
    with clickhouse(rig) as target:
        target.command("create table bench_direct (event_id UUID, user_id String, event_type LowCardinality(String), "
                       "timestamp DateTime64(6, 'UTC'), session_id String, page String, "
                       "created_at DateTime64(6, 'UTC')) engine = MergeTree order by (user_id, timestamp)")  # fmt: skip
        done, began = 0, time.monotonic()
        while time.monotonic() < began + seconds:
            target.insert("bench_direct", rows, column_names=names)
            done += len(rows)
        took = time.monotonic() - began
        target.command("drop table bench_direct sync")
    return done / took


def make_default_slot(rig: Rig) -> None:
    """From now on the write-ahead log is kept for `default_debezium`, too."""
    with rig.postgres() as postgres:
        postgres.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (DEFAULT_SLOT,))


def default_debezium(rig: Rig, rows: int, most_s: float) -> float:
    """Rows a second of Debezium with default settings, from its slot into a topic of its own and no further.

    Only what it cannot do without is set. Connector, slot and topic are gone afterwards.
    """
    own = connector.definition(rig.settings)
    database = {key: value for key, value in own.items() if key.startswith("database.")}
    config = database | {
        "connector.class": own["connector.class"],
        "plugin.name": "pgoutput",
        "slot.name": DEFAULT_SLOT,
        "publication.name": own["publication.name"],
        "publication.autocreate.mode": "disabled",
        "snapshot.mode": "no_data",
        "topic.prefix": DEFAULT_CONNECTOR,
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": "1",
        # The defaults of Kafka Connect, which the stack's worker changes.
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter.schemas.enable": "true",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "true",
    }
    topic = f"{DEFAULT_CONNECTOR}.public.outbox_log"
    with httpx.Client(base_url=rig.settings.connect_url, timeout=30, trust_env=False) as connect:
        try:
            began = time.monotonic()
            connector.request(connect, "PUT", f"/connectors/{DEFAULT_CONNECTOR}/config", json=config)
            first = 0.0
            while True:
                written, now = _messages(rig, topic), time.monotonic()
                # Its start is not counted.
                first = first or (now if written else 0.0)
                if written >= rows or (first and now - first > most_s):
                    return written / (now - first) if now > first else float(written)
                if now - began > most_s + 60:
                    state = connect.get(f"/connectors/{DEFAULT_CONNECTOR}/status").text[:500]
                    raise BenchError(f"Debezium with default settings wrote nothing in {most_s + 60:.0f} s: {state}")
                time.sleep(0.5)  # each look costs some 50 ms of a core
        finally:
            connector.request(connect, "DELETE", f"/connectors/{DEFAULT_CONNECTOR}")
            drop_default_slot(rig)
            with kafka.admin(rig.settings) as admin:
                if _messages(rig, topic):
                    admin.delete_topics([topic])


def drop_default_slot(rig: Rig) -> None:
    """Drops it once nobody reads it any more; a slot that stays would keep the log for ever."""
    deadline = time.monotonic() + 60
    with rig.postgres() as postgres:
        while True:
            try:
                postgres.execute(
                    "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s",
                    (DEFAULT_SLOT,),
                )
                return
            except psycopg.errors.ObjectInUse:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


def clickhouse(rig: Rig) -> Any:
    """The plain client, as somebody without NeonBlue would use it."""
    return clickhouse_connect.get_client(
        dsn=rig.settings.clickhouse_url, database=DATABASE, autogenerate_session_id=False
    )


def _messages(rig: Rig, topic: str) -> int:
    consumer = KafkaConsumer(bootstrap_servers=rig.settings.kafka_bootstrap.split(","))
    try:
        numbers = consumer.partitions_for_topic(topic) or ()
        return sum(consumer.end_offsets([TopicPartition(topic, n) for n in numbers]).values()) if numbers else 0
    finally:
        consumer.close()


def _rows(count: int) -> list[tuple[UUID, str, str, datetime, str, Jsonb, datetime]]:
    import msgspec

    now = datetime.now(UTC)
    rows = []
    for call in DistinctBatches(count, 10_000, "bare").calls():
        for event in msgspec.json.decode(call.body)["events"]:
            at = datetime.fromisoformat(event["timestamp"])
            rows.append(
                (UUID(event["id"]), event["user_id"], event["event_type"], at, event["session_id"],
                 Jsonb(event["properties"]), now)
            )  # fmt: skip
    return rows
