"""Kafka: the topic's records are deleted up to what is proven to have landed; the broker then removes the files.

A tombstone would do nothing: the topic is not compacted. Whole files go, and the one that is written to is never among
them: a canary for each partition begins a new one.
"""

import json
import time
import uuid
from itertools import count
from typing import Any

import psycopg

from neonblue_pipeline import clickhouse as clickhouse_client
from neonblue_pipeline import kafka, offsets
from neonblue_pipeline.arrival import await_arrival
from neonblue_pipeline.erasing import facts
from neonblue_pipeline.errors import ErasureHeld
from neonblue_pipeline.settings import CANARY_TYPE, CANARY_USER, Settings

_NEW_FILE_AFTER_MS = 1000
_PATIENCE_S = 120


def clear(settings: Settings) -> dict[str, Any]:
    """Deletes every record that has landed; returns how many. Raises ErasureHeld where one was lost on the way."""
    _begin_files(settings, sorted(p for p, (begin, end) in kafka.end_offsets(settings).items() if end > begin))
    behind = await_arrival(settings, _PATIENCE_S)
    if behind:
        raise ErasureHeld(behind)
    landed_to = kafka.committed_offsets(settings)
    with clickhouse_client.connect(settings, "neonblue_pipeline erasing") as clickhouse:
        offsets.keep_empty(settings, clickhouse)
        found = offsets.partitions(settings, clickhouse)
    lost = {partition.number: partition.lost for partition in found if partition.lost}
    if lost:
        raise ErasureHeld(
            f"messages of the topic were lost before they landed ({lost}); `neonblue replay` sends them again"
        )
    deleted = kafka.delete_records(settings, landed_to)
    return {"records": deleted}


def _begin_files(settings: Settings, partitions: list[int]) -> None:
    """A new file in each of these partitions, begun after everything that is in the topic now."""
    if not partitions:
        return
    with kafka.setting(settings, "segment.ms", str(_NEW_FILE_AFTER_MS)):
        # A file ends with the first message that comes so long after its first one.
        time.sleep(1.2 * _NEW_FILE_AFTER_MS / 1000)
        _send_canaries(settings, partitions)
        behind = await_arrival(settings, _PATIENCE_S)
    if behind:
        raise ErasureHeld(behind)


def _send_canaries(settings: Settings, partitions: list[int]) -> None:
    """One event to each partition, by the way of all facts; they name no experiment and count for none."""
    total = len(kafka.end_offsets(settings))
    events = [
        {"id": str(uuid.uuid4()), "user_id": _user_in(partition, total), "event_type": CANARY_TYPE, "properties": {}}
        for partition in partitions
    ]
    with psycopg.connect(settings.postgres_url, autocommit=True) as postgres:
        facts.say_key(settings, postgres)
        refused = postgres.execute("select * from accept_events(%s::text::jsonb)", (json.dumps(events),)).fetchall()
    if refused:
        raise ErasureHeld(f"the canaries were not accepted: {refused}")


def _user_in(partition: int, partitions: int) -> str:
    """A user whose messages go to this partition, as Kafka's producers choose it."""
    from kafka.partitioner.default import murmur2

    names = (f"{CANARY_USER}-{number}" for number in count())
    return next(name for name in names if (murmur2(name.encode()) & 0x7FFFFFFF) % partitions == partition)
