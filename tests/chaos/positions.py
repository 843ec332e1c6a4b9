"""Faults of what the stream remembers and keeps: slot, offsets, consumer group, topic, connector, tables, rollups."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import psycopg
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from neonblue_pipeline import clickhouse, connector, kafka
from neonblue_pipeline.settings import CONNECTOR, CONSUMER_GROUP, SLOT, TOPIC, Settings
from neonblue_pipeline.sqlfiles import sql_files
from tests.chaos.target import Target, frozen
from tests.fix_stack import NEONBLUE

_OFFSETS_TOPIC = "connect-offsets"
# Places in the write-ahead log that Debezium stores, in bytes, and more of them than any run here writes.
_LSNS = ("lsn", "lsn_proc", "lsn_commit")
_FAR_AHEAD = 2**40


def drop_slot(target: Target) -> None:
    take_slot_away(target.settings)


def take_slot_away(settings: Settings) -> None:
    """Under the connector, which reads it again as soon as it is cut off."""
    _while_nobody_reads(settings, "select pg_drop_replication_slot(%s)", SLOT)


def advance_slot(target: Target) -> None:
    """By hand past what Connect has read, as one does to free the disk."""
    with frozen(target.processes("connect")):
        time.sleep(3)  # facts that are written now are skipped: that they exist is the point of this fault
        _while_nobody_reads(target.settings, "select pg_replication_slot_advance(%s, pg_current_wal_lsn())", SLOT)


def _while_nobody_reads(settings: Settings, statement: str, *parameters: object) -> None:
    """A statement on the slot, which PostgreSQL refuses while the connector reads it."""
    with psycopg.connect(settings.postgres_url, autocommit=True, connect_timeout=5) as postgres:
        for attempt in Retrying(
            retry=retry_if_exception_type(psycopg.errors.ObjectInUse), wait=wait_fixed(0.01), stop=stop_after_delay(30)
        ):
            with attempt:
                postgres.execute(
                    """select pg_terminate_backend(active_pid) from pg_replication_slots
                       where slot_name = %s and active_pid is not null""",
                    (SLOT,),
                )
                postgres.execute(statement.encode(), parameters)


def wipe_offsets(target: Target) -> None:
    with target.connect() as connect:
        connector.stop(connect, 60)
        connector.request(connect, "DELETE", f"/connectors/{CONNECTOR}/offsets")
        connector.request(connect, "PUT", f"/connectors/{CONNECTOR}/resume")


def push_offset_ahead(target: Target) -> None:
    put_offset_ahead(target.settings)


def put_offset_ahead(settings: Settings) -> None:
    """As after PostgreSQL was set back: Connect remembers a place that its write-ahead log has not reached."""
    path = f"/connectors/{CONNECTOR}/offsets"
    with httpx.Client(base_url=settings.connect_url, timeout=30, trust_env=False) as connect:
        connector.stop(connect, 60)
        stored = connector.request(connect, "GET", path).json()["offsets"]
        for entry in stored:
            entry["offset"] |= {name: entry["offset"][name] + _FAR_AHEAD for name in _LSNS if name in entry["offset"]}
        connector.request(connect, "PATCH", path, json={"offsets": stored})
        connector.request(connect, "PUT", f"/connectors/{CONNECTOR}/resume")


def delete_offsets_topic(target: Target) -> None:
    """The topic in which Connect keeps its offsets is gone when it starts again."""
    with frozen(target.processes("connect")), kafka.admin(target.settings) as admin:
        admin.delete_topics([_OFFSETS_TOPIC])
        target.kill("connect")


def reset_group(target: Target) -> None:
    """To the end of the topic, over messages that ClickHouse has not read: they are skipped."""
    # What comes in three seconds without a reader is what will be skipped.
    _move_group(target, KafkaConsumer.end_offsets, wait_s=3)


def rewind_group(target: Target) -> None:
    """To the beginning of the topic: everything that it holds comes a second time."""
    _move_group(target, KafkaConsumer.beginning_offsets)


def _move_group(target: Target, where: Callable[..., dict[TopicPartition, int]], wait_s: float = 0) -> None:
    with clickhouse.connect(target.settings, "chaos") as server:
        server.command("drop view if exists landing_from_kafka")
        server.command("drop table if exists raw_events_kafka sync")
        time.sleep(wait_s)
        consumer = KafkaConsumer(
            bootstrap_servers=target.settings.kafka_bootstrap, group_id=CONSUMER_GROUP, enable_auto_commit=False
        )
        try:
            partitions = [TopicPartition(TOPIC, number) for number in consumer.partitions_for_topic(TOPIC)]
            consumer.assign(partitions)
            to = {p: OffsetAndMetadata(offset, "", -1) for p, offset in where(consumer, partitions).items()}
            for attempt in Retrying(wait=wait_fixed(0.5), stop=stop_after_delay(30), reraise=True):
                with attempt:  # refused while the members of the group that were there are not forgotten yet
                    consumer.commit(to)
        finally:
            consumer.close()
        for file in sql_files("clickhouse"):
            if file.name.endswith(("110_raw_events_kafka.sql", "190_landing_from_kafka.sql")):
                for statement in file.rendered(target.settings.sql_variables).statements:
                    server.command(statement)


def recreate_topic(target: Target) -> None:
    with kafka.admin(target.settings) as admin:
        admin.delete_topics([TOPIC])
    for attempt in Retrying(wait=wait_fixed(0.5), stop=stop_after_delay(30), reraise=True):
        with attempt:
            assert kafka.ensure_topic(target.settings), "the old topic is still there"


def reconfigure(target: Target) -> None:
    """Its configuration is changed and changed back while Connect hands out its work again after a kill."""
    wanted = connector.definition(target.settings)
    target.kill("connect")
    with target.connect() as connect:
        for attempt in Retrying(
            retry=retry_if_exception_type(httpx.TransportError), wait=wait_fixed(0.1), stop=stop_after_delay(120)
        ):
            with attempt:
                connect.get("/")
        for poll_ms in ("25", "50", wanted["poll.interval.ms"]):
            connector.request(
                connect, "PUT", f"/connectors/{CONNECTOR}/config", json=wanted | {"poll.interval.ms": poll_ms}
            )
            connector.request(connect, "POST", f"/connectors/{CONNECTOR}/restart?includeTasks=true")


def drop_table(target: Target) -> None:
    with clickhouse.connect(target.settings, "chaos") as server:
        server.command("drop table events_rows sync")


def lose_clickhouse(target: Target) -> None:
    with clickhouse.connect(target.settings, "chaos", database=None) as server:
        server.command("drop database experiments_analytics sync")


def cut_rollup(target: Target) -> None:
    """Staging half filled, and a day of a rollup gone."""
    with clickhouse.connect(target.settings, "chaos") as server:
        for name in ("user_rollup", "hourly_metrics", "daily_metrics", "user_journeys"):
            server.command(f"insert into {name}_staging select * from {name} limit 100")
        for (day,) in server.rows("select distinct day from daily_metrics order by day desc limit 1"):
            server.command(f"alter table daily_metrics drop partition '{day}'")


def kill_rollup(target: Target) -> None:
    """A process that builds the rollups dies (-9) after staging was filled and before all of it was swapped in."""
    for _ in range(5):
        if _killed_in_time(target):
            return
    raise AssertionError("five builds of the rollups ended before they could be killed")


def _killed_in_time(target: Target) -> bool:
    builder = subprocess.Popen(
        [sys.executable, "-m", "neonblue_pipeline.materialize", "live"],
        env={**os.environ, **target.stack.settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    staged = (
        "select sum(rows) from system.parts where database = currentDatabase() and active and table like '%_staging'"
    )
    try:
        with clickhouse.connect(target.settings, "chaos") as server:
            while builder.poll() is None:
                if server.rows(staged)[0][0]:
                    return True
        return False
    finally:
        builder.kill()
        builder.wait()


def replay_twice(target: Target) -> None:
    """Two at once send everything that was accepted again."""
    with target.postgres() as postgres:
        row: Any = postgres.execute("select min(created_at), now() from outbox_log").fetchone()
    command = [str(NEONBLUE), "replay", "--from", row[0].isoformat(), "--to", row[1].isoformat()]
    runs = [
        subprocess.Popen(command, env={**os.environ, **target.stack.settings}, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    try:
        assert [run.wait(timeout=300) for run in runs] == [0, 0], "a replay failed"
    finally:
        for run in runs:
            run.kill()
            run.wait()
