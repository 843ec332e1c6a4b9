"""What carries the outbox to ClickHouse: the topic and the connector."""

import time

import dagster as dg

from neonblue_pipeline import connector as debezium
from neonblue_pipeline import kafka
from neonblue_pipeline.resources import Servers
from neonblue_pipeline.settings import TOPIC


@dg.asset(group_name="stream", kinds={"kafka"})
def kafka_topic(servers: Servers) -> dg.MaterializeResult:
    """The topic experiments_events, keyed by user. Rerunning sets its configuration again."""
    settings = servers.settings
    created = kafka.ensure_topic(settings)
    return dg.MaterializeResult(metadata={"topic": TOPIC, "created": created, "partitions": settings.kafka_partitions})


@dg.asset(
    group_name="stream",
    kinds={"debezium", "kafkaconnect"},
    deps=["publication", "kafka_topic"],
    retry_policy=dg.RetryPolicy(max_retries=2, delay=5),
)
def connector(servers: Servers) -> dg.MaterializeResult:
    """The Debezium connector of connector.json: registered, its task RUNNING, its replication slot read.

    Rerunning resumes it where it was paused, restarts a FAILED task, and otherwise changes nothing. A slot that is
    gone is left to the job `recover`, which also sends again what it had not passed on.
    """
    started = time.monotonic()
    outcome = debezium.register(servers.settings)
    return dg.MaterializeResult(metadata=outcome | {"seconds": round(time.monotonic() - started, 3)})
