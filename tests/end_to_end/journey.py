"""The platform as its users see it, from outside: HTTP, SQL and Kafka clients on a running stack."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence, Set

import clickhouse_connect
import httpx
import psycopg
from kafka import KafkaConsumer, TopicPartition
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from tests.fix_client import ComesBack

TOPIC = "experiments_events"


class NotThereYet(Exception):
    """Some of the events are not in ClickHouse yet."""


class Platform:
    """A thin view of one running stack; `settings` are the variables of docs/contracts.md."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.settings = settings
        self.api = httpx.Client(
            base_url=settings["NEONBLUE_API_URL"],
            headers={"Authorization": f"Bearer {settings['NEONBLUE_API_TOKEN']}"},
            timeout=30,
            transport=ComesBack(),
        )

    def post(self, path: str, body: object, status: Sequence[int] = (200, 201, 202)) -> dict:
        reply = self.api.post(path, json=body)
        assert reply.status_code in status, f"POST {path}: {reply.status_code} {reply.text}"
        return reply.json()

    def get(self, path: str) -> dict:
        reply = self.api.get(path)
        assert reply.status_code == 200, f"GET {path}: {reply.status_code} {reply.text}"
        return reply.json()

    def create_experiment(self, key: str, metrics: Sequence[tuple[str, str]]) -> None:
        """A running experiment of two even variants; `metrics` are (event_type, kind)."""
        keys = []
        for event_type, kind in metrics:
            keys.append(f"{key}.{event_type}.{kind}")
            self.post("/v1/metrics", {"key": keys[-1], "kind": kind, "event_type": event_type})
        variants = [{"key": "control", "weight": 0.5, "is_control": True}, {"key": "new", "weight": 0.5}]
        self.post("/v1/experiments", {"key": key, "name": key, "variants": variants, "metrics": keys})
        self.post(f"/v1/experiments/{key}/start", {})

    def experiment_id(self, key: str) -> int:
        return self.postgres("select experiment_id from experiments where key = %s", (key,))[0][0]

    def postgres(self, query: str, parameters: Sequence[object] = ()) -> list[tuple]:
        with psycopg.connect(self.settings["NEONBLUE_POSTGRES_URL"]) as connection:
            return connection.execute(query, parameters).fetchall()

    def clickhouse(self, query: str, **parameters: object) -> list[tuple]:
        with clickhouse_connect.get_client(
            dsn=self.settings["NEONBLUE_CLICKHOUSE_URL"], database="experiments_analytics"
        ) as client:
            return [tuple(row) for row in client.query(query, parameters=parameters).result_rows]

    def kafka_messages(self, aggregate_ids: Set[str]) -> Iterator[tuple[str, str]]:
        """(key, aggregate_id) of these facts' messages, in the topic up to its present end."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.settings["NEONBLUE_KAFKA_BOOTSTRAP"],
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        try:
            partitions = [TopicPartition(TOPIC, p) for p in consumer.partitions_for_topic(TOPIC)]
            consumer.assign(partitions)
            ends = consumer.end_offsets(partitions)
            while any(consumer.position(p) < ends[p] for p in partitions):
                for messages in consumer.poll(timeout_ms=500).values():
                    for message in messages:
                        # Other tests put messages there that nobody can read: parsed is what names one of the facts.
                        if message.value and any(id_.encode() in message.value for id_ in aggregate_ids):
                            aggregate_id = json.loads(message.value)["after"]["aggregate_id"]
                            if aggregate_id in aggregate_ids:
                                yield message.key.decode(), aggregate_id
        finally:
            consumer.close()

    @retry(retry=retry_if_exception_type(NotThereYet), wait=wait_fixed(0.1), stop=stop_after_delay(60), reraise=True)
    def await_events(self, ids: Sequence[str]) -> None:
        """Returns once all these events can be queried in ClickHouse."""
        query = "select count() from events_processed where toString(id) in {ids:Array(String)}"
        found = self.clickhouse(query, ids=list(ids))[0][0]
        if found < len(ids):
            raise NotThereYet(f"{found} of {len(ids)} events are in events_processed")

    def journey(self, experiment: str, user: str) -> list[tuple[str, str]]:
        """(event_type, page) of a user's steps in the order of the journey."""
        journeys = self.get(f"/v1/experiments/{experiment}/journeys?user_id={user}")["items"]
        return [(step["event_type"], step["page"]) for journey in journeys for step in journey["steps"]]

    def refresh(self) -> None:
        """All rollups and the significance, as every minute: a recorded run of the Dagster job."""
        command = [sys.executable, "-m", "neonblue_pipeline.materialize", "live"]
        environment = {**os.environ, **self.settings}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
