"""How far the demo's facts have come: counts at every stage while they travel, and the ids at the end.

A fact is an assignment (known by its user) or an event (known by its id).
"""

from collections.abc import Callable
from dataclasses import dataclass

import clickhouse_connect
import msgspec
import psycopg
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from neonblue_local.demo.send import DemoError
from neonblue_pipeline.clickhouse import plain_client
from neonblue_pipeline.settings import TOPIC, Settings


@dataclass(frozen=True)
class Counts:
    """Facts of the experiment in PostgreSQL and ClickHouse; messages in the topic and landed, of everything."""

    postgres: int
    kafka_messages: int
    landing: int
    clickhouse: int


@dataclass(frozen=True)
class Ids:
    """The distinct ids found at one stage, and how many times a fact was told there."""

    events: set[str]
    users: set[str]
    rows: int


class _Row(msgspec.Struct):
    aggregate_type: str
    payload: str


class _Envelope(msgspec.Struct):
    after: _Row


class _Payload(msgspec.Struct):
    experiment_id: int | None
    user_id: str = ""
    id: str = ""


class Stages:
    """Read-only views of one experiment's facts in the stores, through their ordinary clients."""

    # What `counts` raises while a part is away.
    AWAY = (psycopg.OperationalError, KafkaError, clickhouse_connect.driver.exceptions.OperationalError)

    def __init__(self, settings: Settings, experiment: str) -> None:
        self._settings = settings
        with psycopg.connect(settings.postgres_url) as postgres:
            row = postgres.execute("select experiment_id from experiments where key = %s", (experiment,)).fetchone()
        if row is None:
            raise DemoError(f"experiment {experiment!r} is not in PostgreSQL, although the API created it")
        self._experiment_id = row[0]
        self._clickhouse = plain_client(settings)
        self._kafka = KafkaConsumer(**settings.kafka_client, enable_auto_commit=False)
        partitions = self._kafka.partitions_for_topic(TOPIC) or set()
        self._partitions = [TopicPartition(TOPIC, partition) for partition in sorted(partitions)]

    def __enter__(self) -> "Stages":
        return self

    def __exit__(self, *_: object) -> None:
        self._clickhouse.close()
        self._kafka.close()

    def counts(self) -> Counts:
        with psycopg.connect(self._settings.postgres_url) as postgres:
            row = postgres.execute(
                """select (select count(*) from assignments where experiment_id = %(x)s)
                        + (select count(*) from events where experiment_id = %(x)s)""",
                {"x": self._experiment_id},
            ).fetchone()
        rows = self._clickhouse.query(
            """select (select count() from landing),
                      (select count() from events_processed where experiment_id = {x:UInt64})
                    + (select count() from assignments_mv where experiment_id = {x:UInt64})""",
            parameters={"x": self._experiment_id},
        ).result_rows
        landing, processed = rows[0]
        ends, begins = self._kafka.end_offsets(self._partitions), self._kafka.beginning_offsets(self._partitions)
        messages = sum(ends[p] - begins[p] for p in self._partitions)
        return Counts(row[0] if row else 0, messages, landing, processed)

    def postgres_ids(self) -> Ids:
        with psycopg.connect(self._settings.postgres_url) as postgres:
            x = (self._experiment_id,)
            events = postgres.execute("select event_id::text from events where experiment_id = %s", x).fetchall()
            users = postgres.execute("select user_id from assignments where experiment_id = %s", x).fetchall()
        return Ids({row[0] for row in events}, {row[0] for row in users}, len(events) + len(users))

    def kafka_ids(self, progress: Callable[[int], None]) -> Ids:
        """Reads the topic from its beginning to where it ends now; `progress` is told the messages read at a time."""
        found = Ids(set(), set(), 0)
        rows = 0
        consumer = KafkaConsumer(
            **self._settings.kafka_client,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=5_000,
            fetch_max_bytes=32 << 20,
            max_partition_fetch_bytes=8 << 20,
        )
        envelopes, payloads = msgspec.json.Decoder(_Envelope), msgspec.json.Decoder(_Payload | list[_Payload])
        try:
            consumer.assign(self._partitions)
            ends = consumer.end_offsets(self._partitions)
            while any(consumer.position(p) < ends[p] for p in self._partitions):
                messages = [message for polled in consumer.poll(timeout_ms=1_000).values() for message in polled]
                for message in messages:
                    try:
                        row = envelopes.decode(message.value or b"")
                        if row.after.aggregate_type not in ("event", "assignment"):
                            continue
                        told = payloads.decode(row.after.payload)
                    except msgspec.DecodeError:
                        continue  # ClickHouse keeps what cannot be read as a dead letter; the demo sent none of it
                    for fact in told if isinstance(told, list) else (told,):
                        if fact.experiment_id == self._experiment_id:
                            rows += 1
                            found.events.add(fact.id) if fact.id else found.users.add(fact.user_id)
                progress(len(messages))
        finally:
            consumer.close()
        return Ids(found.events, found.users, rows)

    def clickhouse_ids(self) -> Ids:
        events, users = (
            self._clickhouse.query(query, parameters={"x": self._experiment_id}).result_columns
            for query in (
                "select toString(id) from events_processed where experiment_id = {x:UInt64}",
                "select user_id from assignments_mv where experiment_id = {x:UInt64}",
            )
        )
        event_ids, user_ids = (columns[0] if columns else [] for columns in (events, users))
        return Ids(set(event_ids), set(user_ids), len(event_ids) + len(user_ids))
