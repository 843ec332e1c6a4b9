"""The topic and the consumer group: creation, end offsets, committed offsets, single messages. Plain kafka-python."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from neonblue_pipeline.settings import CONSUMER_GROUP, TOPIC, Settings

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

_FETCH_S = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Message:
    """Where a message is in the topic, when the broker took it, and the size of its value in bytes."""

    partition: int
    offset: int
    at: datetime
    key: bytes
    has_value: bool
    size: int


@contextmanager
def admin(settings: Settings) -> "Iterator[KafkaAdminClient]":
    from kafka import KafkaAdminClient

    client = KafkaAdminClient(**settings.kafka_client, client_id="neonblue_pipeline")
    try:
        yield client
    finally:
        client.close()


def ensure_topic(settings: Settings) -> bool:
    """Creates the topic if it is missing and sets its configuration; True if it was created.

    The broker stamps the time of append: landing's partitions follow it, and a producer's clock may be anywhere.
    """
    from kafka.admin import ConfigResource, ConfigResourceType
    from kafka.errors import TopicAlreadyExistsError

    config = {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(settings.max_message_bytes),
        "retention.ms": str(settings.topic_keep_hours * 3_600_000),
        "compression.type": "producer",
    }
    shape = {"num_partitions": settings.kafka_partitions, "replication_factor": settings.kafka_replication}
    with admin(settings) as client:
        try:
            client.create_topics({TOPIC: shape | {"configs": config}}, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC, config)])
            return False
        return True


@contextmanager
def setting(settings: Settings, name: str, value: str) -> Iterator[None]:
    """A setting of the topic for the length of the block, the broker's default after it."""
    from kafka.admin import AlterConfigOp, ConfigResource, ConfigResourceType

    def alter(change: object) -> None:
        with admin(settings) as client:
            client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC, {name: change})])

    alter(value)
    try:
        yield
    finally:
        alter((AlterConfigOp.DELETE, None))


def delete_records(settings: Settings, before: dict[int, int]) -> int:
    """Deletes the messages of each partition whose offset is smaller; returns how many were there."""
    from kafka import TopicPartition

    begins = {p: begin for p, (begin, _) in end_offsets(settings).items()}
    wanted = {TopicPartition(TOPIC, p): offset for p, offset in before.items() if offset > begins.get(p, offset)}
    if wanted:
        with admin(settings) as client:
            client.delete_records(wanted)
    return sum(offset - begins[place.partition] for place, offset in wanted.items())


def committed_offsets(settings: Settings) -> dict[int, int]:
    """Per partition the offset before which ClickHouse has every message in every table."""
    with admin(settings) as client:
        offsets = client.list_group_offsets(CONSUMER_GROUP)[CONSUMER_GROUP]
    return {p.partition: found.offset for p, found in offsets.items() if p.topic == TOPIC and found.offset >= 0}


def end_offsets(settings: Settings) -> dict[int, tuple[int, int]]:
    """Per partition the offset of the first message that is kept, and the one after the last."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(**settings.kafka_client, client_id="neonblue_pipeline")
    try:
        partitions = [TopicPartition(TOPIC, p) for p in sorted(consumer.partitions_for_topic(TOPIC) or ())]
        ends, begins = consumer.end_offsets(partitions), consumer.beginning_offsets(partitions)
    finally:
        consumer.close()
    return {p.partition: (begins[p], ends[p]) for p in partitions}


def bytes_on_disk(settings: Settings) -> int:
    """Of the topic, all replicas together."""
    with admin(settings) as client:
        brokers = client.describe_log_dirs([TOPIC])
    return sum(
        partition["partition_size"]
        for broker in brokers
        for folder in broker["log_dirs"]
        for topic in folder["topics"]
        for partition in topic["partitions"]
    )


def lag(settings: Settings) -> dict[int, int]:
    """Per partition the number of messages that ClickHouse has not committed."""
    ends, committed = end_offsets(settings), committed_offsets(settings)
    return {p: end - max(committed.get(p, 0), begin) for p, (begin, end) in ends.items()}


def first_timestamps(settings: Settings) -> dict[int, datetime]:
    """Per partition the broker's time of the first message that is kept; a partition without messages is left out."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(
        **settings.kafka_client,
        client_id="neonblue_pipeline",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=1,
    )
    found: dict[int, datetime] = {}
    try:
        for number, (begin, end) in end_offsets(settings).items():
            if begin == end:
                continue
            partition = TopicPartition(TOPIC, number)
            consumer.assign([partition])
            consumer.seek(partition, begin)
            deadline = time.monotonic() + _FETCH_S
            while number not in found and time.monotonic() < deadline:
                for message in consumer.poll(timeout_ms=1000).get(partition, []):
                    found[number] = datetime.fromtimestamp(message.timestamp / 1000, UTC)
    finally:
        consumer.close()
    return found


def read(settings: Settings, partition: int, first: int, last: int) -> Iterator[Message]:
    """The messages at the offsets `first` to `last` of one partition; an offset may hold none.

    Raises KafkaError when the broker does not bring the reader past `last` in time.
    """
    from kafka import KafkaConsumer, TopicPartition
    from kafka.errors import KafkaTimeoutError

    consumer = KafkaConsumer(
        **settings.kafka_client,
        client_id="neonblue_pipeline",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        place = TopicPartition(TOPIC, partition)
        consumer.assign([place])
        consumer.seek(place, first)
        deadline = time.monotonic() + _FETCH_S
        while consumer.position(place) <= last:
            if time.monotonic() > deadline:
                raise KafkaTimeoutError(f"{TOPIC}: partition {partition} could not be read from {first} to {last}")
            for message in consumer.poll(timeout_ms=500).get(place, []):
                if message.offset > last:
                    return
                at = _EPOCH + timedelta(milliseconds=message.timestamp)
                value = message.value
                yield Message(partition, message.offset, at, message.key or b"", value is not None, len(value or b""))
    finally:
        consumer.close()
