"""Messages that could not be read: what they are, and sending them again after a fix. No Dagster."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from neonblue_pipeline import clickhouse as clickhouse_client
from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.erasing import lock
from neonblue_pipeline.replay import LANDING_COLUMNS
from neonblue_pipeline.settings import TOPIC, Settings

# A message whose envelope could be read landed whole, and its payload was refused by the view of its type.
_PAYLOAD_REASONS = ("event: ", "assignment: ", "experiment: ")
_AT_ONCE = 1000
# Parameters travel in the URL, of which servers take 64 KB; a place is some 100 bytes there.
_IN_A_URL = 200
# Of what lands again: a block takes several times as much in the views.
_BYTES_AT_ONCE = 16_000_000
_ALWAYS = datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class DeadLetter:
    """One message: where it is in Kafka, why it could not be read, its bytes; when it was sent again, if ever."""

    topic: str
    partition: int
    offset: int
    kafka_timestamp: datetime
    reason: str
    raw: bytes
    key: bytes
    received_at: datetime
    replayed_at: datetime | None

    @property
    def place(self) -> tuple[str, int, int, datetime]:
        """Topic, partition, offset, and the broker's time, which tells topics of one name apart."""
        return self.topic, self.partition, self.offset, self.kafka_timestamp

    @property
    def landed(self) -> bool:
        return self.reason.startswith(_PAYLOAD_REASONS)


def read(
    clickhouse: ClickHouse, *, everything: bool = False, before: datetime = _ALWAYS, limit: int = 100
) -> list[DeadLetter]:
    """The newest dead letters received `before`; without `everything` those not sent again or come back."""
    rows = clickhouse.read("dead_letters", all=int(everything), before=before, limit=limit)
    return [_letter(row) for row in rows]


def count(clickhouse: ClickHouse) -> list[tuple[str, int]]:
    """Reasons and how many messages each, the most frequent first; those that were sent again included."""
    rows = clickhouse.rows("select reason, count() from dead_letters group by reason order by 2 desc, 1")
    return [(reason, number) for reason, number in rows]


def replay(settings: Settings, tell: Callable[[str], None] = lambda _: None) -> int:
    """Sends every open dead letter again; returns how many. Those that still cannot be read become dead letters anew.

    One that landed goes through the views again, any other through the topic, with its key and to its partition.
    """
    sent = 0
    with lock.beside(settings), clickhouse_client.connect(settings, "neonblue_pipeline dead letters") as clickhouse:
        began = clickhouse.rows("select now64(6)")[0][0]
        while True:
            # What fails again is received after the beginning, and is not sent a second time.
            letters = read(clickhouse, before=began, limit=_AT_ONCE)
            if not letters:
                return sent
            _through_views(clickhouse, [letter for letter in letters if letter.landed])
            # One without a value says nothing that could be read the next time: it is only closed.
            _through_topic(settings, [letter for letter in letters if not letter.landed and letter.raw])
            _close(clickhouse, letters, began)
            sent += len(letters)
            tell(f"{sent:,} sent")


def discard(settings: Settings) -> int:
    """Closes every open dead letter without sending it; returns how many. They stay in the list of all."""
    given_up = 0
    with clickhouse_client.connect(settings, "neonblue_pipeline dead letters") as clickhouse:
        began = clickhouse.rows("select now64(6)")[0][0]
        while letters := read(clickhouse, before=began, limit=_AT_ONCE):
            _close(clickhouse, letters, began)
            given_up += len(letters)
    return given_up


def _close(clickhouse: ClickHouse, letters: list[DeadLetter], at: datetime) -> None:
    columns = ["topic", "partition", "offset", "kafka_timestamp", "replayed_at"]
    clickhouse.insert("dead_letters_replayed", columns, [[*letter.place, at] for letter in letters])


def _through_views(clickhouse: ClickHouse, letters: list[DeadLetter]) -> None:
    for first in range(0, len(letters), _IN_A_URL):
        clickhouse.command(
            f"""insert into landing_rows ({LANDING_COLUMNS}) select {LANDING_COLUMNS} from landing
                where (topic, partition, offset, kafka_timestamp)
                      in {{places:Array(Tuple(String, UInt32, UInt64, DateTime64(3, 'UTC')))}}
            """,  # noqa: S608
            {"places": [letter.place for letter in letters[first : first + _IN_A_URL]]},
            min_insert_block_size_bytes=_BYTES_AT_ONCE,
        )


def _through_topic(settings: Settings, letters: list[DeadLetter]) -> None:
    from kafka import KafkaProducer

    if not letters:
        return
    producer = KafkaProducer(
        **settings.kafka_client,
        max_request_size=settings.max_message_bytes,
        acks="all",
        client_id="neonblue_pipeline",
    )
    try:
        waiting = [
            producer.send(TOPIC, value=letter.raw, key=letter.key or None, partition=letter.partition)
            for letter in letters
        ]
        producer.flush()
        for future in waiting:
            future.get(timeout=30)
    finally:
        producer.close()


def _letter(row: dict[str, Any]) -> DeadLetter:
    return DeadLetter(
        row["topic"],
        row["partition"],
        row["offset"],
        row["kafka_timestamp"],
        row["reason"],
        base64.b64decode(row["raw"]),
        base64.b64decode(row["key"]),
        row["received_at"],
        row["replayed_at"],
    )
