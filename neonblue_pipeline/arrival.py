"""Whether everything that was committed has arrived: the write-ahead log read, the topic consumed. Knows no windows."""

import time

import psycopg

from neonblue_pipeline import kafka
from neonblue_pipeline.settings import SLOT, Settings

_LOOK_EVERY_S = 0.25


def await_arrival(settings: Settings, seconds: float) -> str | None:
    """Waits until all that PostgreSQL holds now went through Connect and Kafka into ClickHouse, or was lost for good.

    Returns None then; else what is still behind, when nothing has moved for `seconds`. What is missing after None will
    not come by itself.
    """
    deadline = time.monotonic() + seconds
    position = None
    with psycopg.connect(settings.postgres_url, autocommit=True, connect_timeout=5) as postgres:
        row = postgres.execute("select pg_current_wal_insert_lsn()").fetchone()
        assert row is not None
        target = row[0]
        # An idle connector confirms its position with the next change that it sees.
        postgres.execute("select pg_logical_emit_message(true, 'neonblue-heartbeat', '')")
        while True:
            row = postgres.execute(
                """select active, confirmed_flush_lsn >= %s, confirmed_flush_lsn::text from pg_replication_slots
                   where slot_name = %s""",
                (target, SLOT),
            ).fetchone()
            if row and row[1]:
                break
            if row and row[2] != position:
                position, deadline = row[2], time.monotonic() + seconds
            if time.monotonic() > deadline:
                state = "does not exist" if row is None else "is read, but not to the end" if row[0] else "is not read"
                return f"replication slot '{SLOT}' {state}: Kafka Connect has not passed on everything"
            time.sleep(_LOOK_EVERY_S)
    return await_consumed(settings, seconds)


def await_consumed(settings: Settings, seconds: float) -> str | None:
    """Waits until ClickHouse has read all that is in the topic now, and returns None.

    Returns what is behind when it has read nothing for `seconds`.
    """
    deadline = time.monotonic() + seconds
    left = None
    ends = kafka.end_offsets(settings)
    while True:
        committed = kafka.committed_offsets(settings)
        # A partition without messages has no committed offset.
        unread = sum(max(end - max(committed.get(p, 0), begin), 0) for p, (begin, end) in ends.items())
        if not unread:
            return None
        if unread != left:
            left, deadline = unread, time.monotonic() + seconds
        if time.monotonic() > deadline:
            return f"ClickHouse has {unread:,} messages of the topic still to read"
        time.sleep(_LOOK_EVERY_S)
