"""What carries the outbox to ClickHouse: the topic and the connector."""

import time

import dagster as dg

from neonblue_pipeline import connector as debezium
from neonblue_pipeline import kafka, recovery
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

    Rerunning repairs a FAILED task or a lost slot and otherwise changes nothing. What a lost slot had not passed on is
    sent again by the next reconciliation.
    """
    started = time.monotonic()
    new_slot = recovery.mend_slot(servers.settings)
    outcome = debezium.register(servers.settings) | {"new_slot": new_slot or "not needed"}
    return dg.MaterializeResult(metadata=outcome | {"seconds": round(time.monotonic() - started, 3)})
