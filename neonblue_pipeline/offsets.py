"""Offsets of the topic against offsets in landing: what did not land, and which of it could not have. No Dagster.

ClickHouse's Kafka engine passes over messages without a value. They are read from Kafka here, told from messages that
were lost, and kept as dead letters like any other that cannot be read.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from neonblue_pipeline import kafka
from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.replay import LANDING_COLUMNS
from neonblue_pipeline.settings import TOPIC, Settings

TOMBSTONE = "message has no value (tombstone)"
EMPTY = "message is empty"
# So many holes of a partition, and so many offsets in them, are looked at; what lies beyond counts as lost.
_HOLES = 100
_OFFSETS = 1000
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Partition:
    """One partition up to what ClickHouse has committed.

    `empty` are messages without a value that did not land, `absent` offsets at which Kafka holds no message (as those
    of a transaction's marks); `lost` are spans of offsets, both ends included, whose messages were not kept anywhere.
    """

    number: int
    read: int
    landed: int
    unread: int
    empty: list[kafka.Message] = field(default_factory=list)
    absent: int = 0
    lost: list[tuple[int, int]] = field(default_factory=list)


def partitions(settings: Settings, clickhouse: ClickHouse) -> list[Partition]:
    """Every partition of the present topic; none where there is no topic. Reads, never writes."""
    ends, committed = kafka.end_offsets(settings), kafka.committed_offsets(settings)
    born = kafka.first_timestamps(settings) if ends else {}
    found = []
    for number, (begin, end) in sorted(ends.items()):
        read_to = min(max(committed.get(number, 0), begin), end)
        bounds: dict[str, Any] = {"p": number, "begin": begin, "end": read_to, "topic": TOPIC}
        bounds["born"] = born.get(number, datetime.now(UTC))
        landed = clickhouse.read("landed_offsets", **bounds)[0]["landed"]
        counts = {"number": number, "read": read_to - begin, "landed": landed, "unread": end - read_to}
        if landed == read_to - begin:
            found.append(Partition(**counts))
            continue
        holes = [(row["first"], row["last"]) for row in clickhouse.read("landing_holes", **bounds, most=_HOLES)]
        found.append(_looked_into(settings, clickhouse, counts, holes))
    return found


def keep_empty(settings: Settings, clickhouse: ClickHouse) -> int:
    """Keeps the messages without a value that the engine passed over as dead letters; returns how many were new."""
    messages = [message for partition in partitions(settings, clickhouse) for message in partition.empty]
    rows = [
        [
            TOPIC,
            m.partition,
            m.offset,
            m.at,
            m.key,
            0,
            0,
            "",
            "",
            "",
            _NEVER,
            "",
            "",
            EMPTY if m.has_value else TOMBSTONE,
        ]
        for m in messages
    ]
    return clickhouse.insert("landing_rows", LANDING_COLUMNS.split(", "), rows)


def _looked_into(
    settings: Settings, clickhouse: ClickHouse, counts: dict[str, int], holes: list[tuple[int, int]]
) -> Partition:
    number = counts["number"]
    empty: list[kafka.Message] = []
    lost: list[int] = []
    absent = early = 0
    near = list(_first(holes, _OFFSETS))
    for first, last in near:
        there = {message.offset: message for message in kafka.read(settings, number, first, last)}
        absent += last - first + 1 - len(there)
        # A broker whose clock went back gives later messages an earlier time than the first one has.
        rows = clickhouse.read("landed_times", topic=TOPIC, p=number, first=first, last=last)
        times = {(row["offset"], row["kafka_timestamp"]) for row in rows}
        missing = [message for offset, message in there.items() if (offset, message.at) not in times]
        early += len(there) - len(missing)
        empty += [message for message in missing if not message.size]
        lost += [message.offset for message in missing if message.size]
    counts = counts | {"landed": counts["landed"] + early}
    return Partition(**counts, empty=empty, absent=absent, lost=_spans(sorted(lost)) + holes[len(near) :])


def _first(holes: list[tuple[int, int]], offsets: int) -> Iterator[tuple[int, int]]:
    """The holes that together have at most so many offsets."""
    for first, last in holes:
        offsets -= last - first + 1
        if offsets < 0:
            return
        yield first, last


def _spans(offsets: list[int]) -> list[tuple[int, int]]:
    """Consecutive numbers as spans."""
    spans: list[tuple[int, int]] = []
    for offset in offsets:
        if spans and spans[-1][1] == offset - 1:
            spans[-1] = (spans[-1][0], offset)
        else:
            spans.append((offset, offset))
    return spans
