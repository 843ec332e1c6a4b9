"""Faults of writers, clients and data: cut connections, open transactions, wrong clocks, late and bad messages."""

import json
import socket
import struct
import time
from datetime import timedelta
from urllib.parse import urlsplit

import psycopg
from kafka import KafkaProducer
from tenacity import Retrying, stop_after_delay, wait_fixed

from neonblue_pipeline.settings import SLOT, TOPIC
from tests.chaos.load import Load
from tests.chaos.target import Target

HELD_S = 120
IDLE_S = 45
_SHIFTED_S = 8
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


def poison(target: Target) -> None:
    """No JSON, another shape, nothing, a tombstone, a truncate, a payload of another type, 5 MB of no JSON."""
    producer = KafkaProducer(
        bootstrap_servers=target.settings.kafka_bootstrap, max_request_size=target.settings.max_message_bytes
    )
    try:
        for message in POISON:
            producer.send(TOPIC, value=message, key=b"poison").get(timeout=30)
    finally:
        producer.close()


def big_event(target: Target) -> None:
    """It arrives whole, or is refused by the API: then nobody was promised anything. Written past the API's limit."""
    load = _load(target)
    with target.postgres() as postgres:
        event = load.event()
        event["properties"]["text"] = "x" * 5_000_000
        _accept(postgres, load, [event])


def cut_before_reply(target: Target) -> None:
    """Requests that are read and stored while their sender goes away; each is sent again, and counted once."""
    load = _load(target)
    repeats = 0
    for _ in range(20):
        events = [load.event() for _ in range(10)]
        load.announce(events)
        _post_and_cut(target, events)
        # An API that is busy may refuse for a moment, the first time and the second.
        for attempt in Retrying(wait=wait_fixed(0.5), stop=stop_after_delay(60), reraise=True):
            with attempt, load.client() as api:
                answer = api.post("/v1/events/batch", json={"events": events})
                assert answer.status_code == 202, answer.text
        told = answer.json()
        assert told["accepted"] + told["duplicates"] == len(events), told
        repeats += told["duplicates"]
        load.promise(events)
    assert repeats, "none of the requests that were cut had been stored"


def _post_and_cut(target: Target, events: list[dict]) -> None:
    """Resets the connection when the events are stored, or after two seconds, without reading the reply."""
    url = urlsplit(target.settings.api_url or "")
    content = json.dumps({"events": events}).encode()
    head = (
        f"POST /v1/events/batch HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {target.settings.api_token}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    deadline = time.monotonic() + 2
    # One transaction: where one is, all are.
    query = "select true from events where event_id = any(%s::uuid[]) limit 1"
    ids = [event["id"] for event in events]
    with target.postgres() as postgres, socket.create_connection((url.hostname, url.port), timeout=10) as connection:
        connection.sendall(head.encode() + content)
        while not postgres.execute(query, (ids,)).fetchone() and time.monotonic() < deadline:
            time.sleep(0.001)
        # A reset, not an orderly end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hold_transaction(target: Target) -> None:
    """A writer that takes minutes while Connect is killed: its rows have an old time and a late place in the log."""
    load = _load(target)
    with psycopg.connect(target.settings.postgres_url) as postgres:
        _accept(postgres, load, [load.event() for _ in range(10)])
        target.kill("connect")
        target.wait(HELD_S)
        postgres.commit()


def interleave(target: Target) -> None:
    """Rows of three transactions lie between each other in the log; they commit in another order, around two kills."""
    load = _load(target)
    writers = [psycopg.connect(target.settings.postgres_url) for _ in range(3)]
    try:
        written: list[list[dict]] = [[], [], []]
        for _ in range(5):
            for number, writer in enumerate(writers):
                events = [load.event() for _ in range(2)]
                load.announce(events)
                _insert(writer, load, events)
                written[number] += events
        writers[2].commit()
        load.promise(written[2])
        target.kill("connect")
        writers[0].commit()
        load.promise(written[0])
        target.kill("postgres")  # the one that did not commit is gone with it, and was promised to nobody
    finally:
        for writer in writers:
            writer.close()


def idle(target: Target) -> None:
    """Only other databases write for a while; the slot must follow, or their log would be kept for ever."""
    load = _load(target)
    with load.paused():
        target.kill("connect")
        began = _position(target)
        target.wait(IDLE_S)
        deadline = time.monotonic() + 90
        while _confirmed(target) <= began:
            assert time.monotonic() < deadline, "the slot does not follow an idle database"
            time.sleep(0.5)


def _position(target: Target) -> int:
    with target.postgres() as postgres:
        # The last word of the log is somebody else's.
        postgres.execute("select pg_logical_emit_message(false, 'chaos', repeat('x', 1000000))")
        row = postgres.execute("select (pg_current_wal_lsn() - '0/0')::bigint").fetchone()
    assert row is not None
    return row[0]


def _confirmed(target: Target) -> int:
    with target.postgres() as postgres:
        row = postgres.execute(
            "select (confirmed_flush_lsn - '0/0')::bigint from pg_replication_slots where slot_name = %s", (SLOT,)
        ).fetchone()
    assert row is not None, "the slot is gone"
    return row[0]


def clock_ahead(target: Target) -> None:
    """The API refuses what is more than five minutes ahead, by name; none of it may be counted."""
    _shift(target, timedelta(minutes=10), "connect")


def clock_behind(target: Target) -> None:
    _shift(target, timedelta(minutes=-10), "connect")


def week_late(target: Target) -> None:
    _shift(target, timedelta(days=-7), "clickhouse")


def _shift(target: Target, by: timedelta, part: str) -> None:
    """Every event of some seconds says another time than it is, and a part is killed in the middle of them."""
    with _load(target).shifted(by):
        time.sleep(_SHIFTED_S / 2)
        target.kill(part)
        time.sleep(_SHIFTED_S / 2)


def add_column(target: Target) -> None:
    with target.postgres() as postgres:
        number = postgres.execute("select count(*) from information_schema.columns where table_name = 'outbox_log'")
        row = number.fetchone()
        assert row is not None
        postgres.execute(f"alter table outbox_log add column note_{row[0]} text default 'new'".encode())


def _load(target: Target) -> Load:
    assert target.load is not None, "this fault writes events of its own: it needs the load's account of them"
    return target.load


def _accept(postgres: "psycopg.Connection", load: Load, events: list[dict]) -> None:
    """Events past the API; they count as acknowledged, so the transaction must be committed."""
    load.announce(events)
    _insert(postgres, load, events)
    load.promise(events)


def _insert(postgres: "psycopg.Connection", load: Load, events: list[dict]) -> None:
    """As the API hands them over; a field that a client left out is null."""
    empty = {"timestamp": None, "experiment": None, "session_id": None, "request_id": None}
    refused = postgres.execute("select * from accept_events(%s)", (json.dumps([empty | e for e in events]),)).fetchall()
    assert not refused, f"accept_events refused {refused}"
