"""The faults: what is done to a running stack, and what brings it back: the stack itself or one command."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import psutil
import psycopg
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from neonblue_local.parts import PARTS
from neonblue_local.supervision import Supervisor
from neonblue_pipeline import clickhouse, connector, kafka
from neonblue_pipeline.settings import CONNECTOR, CONSUMER_GROUP, SLOT, TOPIC, Settings
from neonblue_pipeline.sqlfiles import sql_files
from tests.fix_stack import Stack

KILLED = ("postgres", "kafka", "connect", "clickhouse", "api")
STOPPED_S = 30


@dataclass(frozen=True)
class Fault:
    """`strike` does the harm; `cure` is the command of `neonblue` that repairs it, None if none is needed.

    `recover` is also what the sensor `broken_stream` asks for: without a command the repair starts half a minute later.
    """

    name: str
    strike: Callable[["Target"], None]
    cure: str | None = None


class Target:
    """A running stack, as one who breaks it sees it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        names = ("postgres_url", "clickhouse_url", "kafka_bootstrap", "connect_url", "api_url", "api_token")
        self.settings = Settings.model_validate({name: stack.settings[f"NEONBLUE_{name.upper()}"] for name in names})

    def pid(self, part: str) -> int:
        return Supervisor(self.stack.home).info(PARTS[part]).pid

    def kill(self, part: str) -> None:
        pid = self.pid(part)
        if pid:
            os.kill(pid, signal.SIGKILL)

    def freeze(self, part: str, seconds: float) -> None:
        """SIGSTOP for so long; PostgreSQL with all its processes."""
        process = psutil.Process(self.pid(part))
        group = [process, *process.children(recursive=True)]
        for blow in (psutil.Process.suspend, psutil.Process.resume):
            for one in group:
                with contextlib.suppress(psutil.NoSuchProcess):
                    blow(one)
            if blow is psutil.Process.suspend:
                time.sleep(seconds)

    def postgres(self) -> "psycopg.Connection":
        return psycopg.connect(self.settings.postgres_url, autocommit=True, connect_timeout=5)

    def connect(self) -> httpx.Client:
        return httpx.Client(base_url=self.settings.connect_url, timeout=30, trust_env=False)


def kill(*parts: str) -> Fault:
    def strike(target: Target) -> None:
        for part in parts:
            target.kill(part)

    return Fault(f"kill -9 of {' and '.join(parts)}", strike)


def freeze(part: str, seconds: float = STOPPED_S) -> Fault:
    return Fault(f"SIGSTOP of {part} for {seconds:.0f} s", lambda target: target.freeze(part, seconds))


def _lose_power(target: Target) -> None:
    supervisor = psutil.Process(int((target.stack.home.run / "supervisord.pid").read_text()))
    everything = [supervisor, *supervisor.children(recursive=True)]
    # Stopped first, so that nobody sees another die; one that has ended meanwhile is dead already.
    for blow in (psutil.Process.suspend, psutil.Process.kill):
        for process in everything:
            with contextlib.suppress(psutil.NoSuchProcess):
                blow(process)
    psutil.wait_procs(everything, timeout=10)
    target.stack.up()


def _while_nobody_reads(target: Target, statement: str, *parameters: object) -> None:
    """A statement on the slot, which PostgreSQL refuses while the connector reads it."""
    with target.postgres() as postgres:
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


def _drop_slot(target: Target) -> None:
    _while_nobody_reads(target, "select pg_drop_replication_slot(%s)", SLOT)


def _advance_slot(target: Target) -> None:
    """By hand past what Connect has read, as one does to free the disk."""
    process = psutil.Process(target.pid("connect"))
    process.suspend()
    time.sleep(3)  # facts that are written now are skipped: that they exist is the point of this fault
    _while_nobody_reads(target, "select pg_replication_slot_advance(%s, pg_current_wal_lsn())", SLOT)
    process.resume()


def _wipe_offsets(target: Target) -> None:
    with target.connect() as connect:
        connector.request(connect, "PUT", f"/connectors/{CONNECTOR}/stop")
        connector.await_stopped(connect, 60)
        connector.request(connect, "DELETE", f"/connectors/{CONNECTOR}/offsets")
        connector.request(connect, "PUT", f"/connectors/{CONNECTOR}/resume")


def _reset_group(target: Target) -> None:
    """To the end of the topic, over messages that ClickHouse has not read: they are skipped."""
    with clickhouse.connect(target.settings, "chaos") as server:
        server.command("drop view if exists landing_from_kafka")
        server.command("drop table if exists raw_events_kafka sync")
        time.sleep(3)  # what comes now is what will be skipped
        _to_the_end(target)
        variables = target.settings.sql_variables
        for file in sql_files("clickhouse"):
            if file.name.endswith(("110_raw_events_kafka.sql", "190_landing_from_kafka.sql")):
                for statement in file.rendered(variables).statements:
                    server.command(statement)


def _to_the_end(target: Target) -> None:
    consumer = KafkaConsumer(
        bootstrap_servers=target.settings.kafka_bootstrap, group_id=CONSUMER_GROUP, enable_auto_commit=False
    )
    try:
        partitions = [TopicPartition(TOPIC, number) for number in consumer.partitions_for_topic(TOPIC)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        for attempt in Retrying(wait=wait_fixed(0.5), stop=stop_after_delay(30), reraise=True):
            with attempt:  # refused while the members of the group that were there are not forgotten yet
                consumer.commit({p: OffsetAndMetadata(end, "", -1) for p, end in ends.items()})
    finally:
        consumer.close()


def _recreate_topic(target: Target) -> None:
    with kafka.admin(target.settings) as admin:
        _delete_topic(admin)
        for attempt in Retrying(wait=wait_fixed(0.5), stop=stop_after_delay(30), reraise=True):
            with attempt:
                assert kafka.ensure_topic(target.settings), "the old topic is still there"


def _delete_topic(admin: KafkaAdminClient) -> None:
    admin.delete_topics([TOPIC])


POISON = (
    b"\xff\xfe no JSON",
    b'{"another": "shape"}',
    b"",
    None,
    b'{"op": "t", "source": {"lsn": 5}}',
    b'{"op": "c", "source": {"lsn": 5}, "after": {"id": 1, "aggregate_id": "x", "aggregate_type": "event", '
    b'"event_type": "EVENT_CREATED", "payload": "{\\"id\\": 7}", "created_at": "2025-01-01T00:00:00.000000Z"}}',
    b'{"op": "c", "source": {"lsn": 5}, "after": {"id": 2, "aggregate_id": "x", "aggregate_type": "event", '
    b'"event_type": "EVENT_CREATED", "payload": "' + b"x" * 5_000_000 + b'", "created_at": "2025-01-01T00:00:00Z"}}',
)


def _poison(target: Target) -> None:
    producer = KafkaProducer(
        bootstrap_servers=target.settings.kafka_bootstrap, max_request_size=target.settings.max_message_bytes
    )
    for message in POISON:
        producer.send(TOPIC, value=message, key=b"poison").get(timeout=30)
    producer.close()


def _drop_table(target: Target) -> None:
    with clickhouse.connect(target.settings, "chaos") as server:
        server.command("drop table events_rows sync")


def _lose_clickhouse(target: Target) -> None:
    with clickhouse.connect(target.settings, "chaos", database=None) as server:
        server.command("drop database experiments_analytics sync")


def _hold_transaction(target: Target) -> None:
    """A writer that takes its time while Connect is killed: its rows have an old time and a late place in the log."""
    with psycopg.connect(target.settings.postgres_url) as postgres:
        postgres.execute("select begin_intake()")
        target.kill("connect")
        time.sleep(15)
        postgres.execute("insert into users (user_id) values (gen_random_uuid()::text)")
        postgres.commit()


def _add_column(target: Target) -> None:
    with target.postgres() as postgres:
        postgres.execute("alter table outbox_log add column if not exists note text")


def _cut_rollup(target: Target) -> None:
    """A build of the rollups that dies between staging and swap."""
    with clickhouse.connect(target.settings, "chaos") as server:
        for name in ("user_rollup", "hourly_metrics", "daily_metrics", "user_journeys"):
            server.command(f"insert into {name}_staging select * from {name} limit 100")
        days = server.rows("select distinct day from daily_metrics order by day desc limit 1")
        for (day,) in days:
            server.command(f"alter table daily_metrics drop partition '{day}'")


FAULTS: dict[str, Fault] = {
    "slot-dropped-unattended": Fault("replication slot dropped, nobody there", _drop_slot),
    "table-dropped-unattended": Fault("ClickHouse: events_rows dropped, nobody there", _drop_table),
    **{f"kill-{part}": kill(part) for part in KILLED},
    "kill-dagster": kill("dagster-daemon", "dagster-code"),
    **{f"stop-{part}": freeze(part) for part in KILLED},
    **{f"kill-{a}-{b}": kill(a, b) for number, a in enumerate(KILLED) for b in KILLED[number + 1 :]},
    "power": Fault("power loss of everything", _lose_power),
    "slot-dropped": Fault("replication slot dropped", _drop_slot, "recover"),
    "slot-advanced": Fault("replication slot advanced by hand", _advance_slot, "recover"),
    "offsets-wiped": Fault("Connect's offsets wiped", _wipe_offsets),
    "group-reset": Fault("consumer group set to the end", _reset_group, "replay"),
    "topic-recreated": Fault("topic deleted and made again", _recreate_topic, "recover"),
    "poison": Fault("messages that cannot be read", _poison),
    "table-dropped": Fault("ClickHouse: events_rows dropped", _drop_table, "recover"),
    "clickhouse-lost": Fault("ClickHouse: the whole database dropped", _lose_clickhouse, "recover"),
    "long-transaction": Fault("a transaction open while Connect is killed", _hold_transaction),
    "column-added": Fault("a column added to the outbox", _add_column),
    "rollup-cut": Fault("a rollup cut between staging and swap", _cut_rollup, "replay"),
}


def chosen(names: str) -> list[Fault]:
    """Faults by their names, separated by commas, or `all`."""
    if names == "all":
        return list(FAULTS.values())
    unknown = set(names.split(",")) - FAULTS.keys()
    assert not unknown, f"no faults {sorted(unknown)}; there are {', '.join(FAULTS)}"
    return [FAULTS[name] for name in names.split(",")]
