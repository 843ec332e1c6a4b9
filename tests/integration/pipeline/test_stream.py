"""From the outbox to typed rows: exactness, redelivery, poison, and a stream that never stops for one message."""

import functools
import json
from collections.abc import Callable
from uuid import uuid4

import pytest
from kafka import KafkaProducer

from neonblue_pipeline import dead_letters
from neonblue_pipeline.settings import TOPIC
from tests.integration.pipeline.conftest import Pipeline, eventually, payload_of


@pytest.fixture
def producer(pipeline: Pipeline) -> KafkaProducer:
    made = KafkaProducer(bootstrap_servers=pipeline.settings.kafka_bootstrap, acks="all")
    yield made
    made.close()


def envelope(payload: object, /, lsn: int = 1, **changes: object) -> bytes:
    after = {
        "id": 1, "aggregate_id": "a", "aggregate_type": "event", "event_type": "EVENT_CREATED", "partition_key": "u",
        "payload": payload if isinstance(payload, str) else json.dumps(payload),
        "created_at": "2026-01-02T10:00:00.000000Z",
    }  # fmt: skip
    return json.dumps({"op": "c", "source": {"lsn": lsn}, "after": after | changes}).encode()


def test_text_and_numbers_arrive_equal_to_the_code_point_and_in_value(pipeline: Pipeline) -> None:
    user = f'ü "\\ \u2028 日本 🎈 {uuid4()}'
    properties = '{"page": "/ä\\u0007\\"", "value": 1e308, "score": 9007199254740993, "huge": 1e400, "tiny": 1e-7}'
    ids = pipeline.send([{"user_id": user, "event_type": "ключ", "timestamp": "2026-01-02T03:04:05.000001Z"}])
    pipeline.postgres("select 1")
    event = {"id": str(uuid4()), "user_id": user, "event_type": "ключ", "timestamp": "2026-01-02T03:04:05.123456Z"}
    text = json.dumps(event)[:-1] + f', "experiment": null, "properties": {properties}}}'
    assert pipeline.postgres("select * from accept_events(%s)", (f"[{text}]",)) == []
    pipeline.await_events([*ids, event["id"]])
    row = pipeline.clickhouse(
        """select user_id, event_type, toString(timestamp), page, value, score, properties, is_valid, event_hour
           from events_processed where toString(id) = {id:String}""",
        id=event["id"],
    )[0]
    kept = pipeline.postgres("select properties::text from events where event_id = %s", (event["id"],))[0][0]
    assert row == (user, "ключ", "2026-01-02 03:04:05.123456", '/ä\u0007"', 1e308, 2.0**53, kept, 0, 3)
    assert json.loads(row[6])["score"] == 2**53 + 1


def test_a_message_delivered_again_is_counted_once_by_any_query(pipeline: Pipeline, producer: KafkaProducer) -> None:
    user = f"again-{uuid4()}"
    ids = pipeline.send([{"user_id": user, "event_type": "click", "properties": {"value": 2}}])
    pipeline.await_events(ids)
    payload = pipeline.postgres("select payload from outbox_log where aggregate_id = %s", (ids[0],))[0][0]
    before = pipeline.clickhouse("select count() from landing")[0][0]
    for lsn in (7, 2**60):
        producer.send(TOPIC, envelope(payload, lsn=lsn), key=user.encode())
    producer.flush()

    @eventually
    def both_landed() -> None:
        assert pipeline.clickhouse("select count() from landing")[0][0] >= before + 2

    both_landed()
    query = "select count(), sum(value), uniqExact(id) from events_processed where user_id = {u:String}"
    assert pipeline.clickhouse(query, u=user) == [(1, 2.0, 1)]


POISON = {
    "not JSON": (b"\xff\x00 garbage {", "message is not JSON"),
    "a line break": (b'{"op": \n', "message is not JSON"),
    "another shape": (b'{"hello": "world"}', "envelope tells of no insert"),
    "an array": (b"[1, 2]", "envelope tells of no insert"),
    "a truncate": (b'{"op": "t", "source": {"lsn": 5}}', "envelope tells of a truncate"),
    "no payload": (envelope({}, payload=None), "envelope lacks"),
    "an unknown type": (envelope({}, aggregate_type="order"), "aggregate_type is unknown"),
    "payload of another type": (envelope([1]), "event: id is not a UUID"),
    "payload not JSON": (envelope({}, payload="{"), "event: payload is not JSON"),
    "a time beyond all calendars": (
        envelope({"id": str(uuid4()), "user_id": "u", "event_type": "e", "timestamp": "9999-01-01T00:00:00Z"}),
        "event: timestamp is not a time between 1900 and 2299",
    ),
    "a time that is none": (
        envelope({"id": str(uuid4()), "user_id": "u", "event_type": "e", "timestamp": "soon"}),
        "event: timestamp is not a time between 1900 and 2299",
    ),
    "no time": (
        envelope({"id": str(uuid4()), "user_id": "u", "event_type": "e"}),
        "event: timestamp is not a time between 1900 and 2299",
    ),
    "an assignment at no time": (
        envelope(
            {"experiment_id": 1, "variant_id": 1, "variant_key": "v", "user_id": "u", "source": "api"},
            aggregate_type="assignment",
        ),
        "assignment: assigned_at is not a time between 1900 and 2299",
    ),
    "an assignment without a user": (
        envelope({"experiment_id": 1, "variant_id": 1}, aggregate_type="assignment"),
        "assignment: user_id is missing",
    ),
    "an experiment without variants": (
        envelope({"experiment_id": 1, "key": "k", "revision": 1}, aggregate_type="experiment"),
        "experiment: variants or metrics is not an array",
    ),
    "an empty array": (envelope([]), "event: id is not a UUID"),
    "an array that breaks off": (envelope({}, payload='[{"id": 1},'), "event: payload is not JSON"),
    "five megabytes": (envelope({"properties": "x" * (5 << 20)}), "event: id is not a UUID"),
}


def test_what_cannot_be_read_is_kept_with_its_reason_and_the_stream_goes_on(pipeline: Pipeline) -> None:
    made = KafkaProducer(
        bootstrap_servers=pipeline.settings.kafka_bootstrap,
        acks="all",
        max_request_size=16 << 20,
    )
    positions = {name: made.send(TOPIC, value, key=b"poison").get(30) for name, (value, _) in POISON.items()}
    # ClickHouse passes over a message without a value; it must not stop at it either.
    made.send(TOPIC, None, key=b"tombstone").get(30)
    made.close()
    ids = pipeline.send([{"user_id": f"after-{uuid4()}", "event_type": "click"}])
    pipeline.await_events(ids)

    def reason(name: str) -> str:
        where = {"p": positions[name].partition, "o": positions[name].offset}
        found = pipeline.clickhouse(
            "select reason, raw from dead_letters where partition = {p:UInt32} and offset = {o:UInt64}", **where
        )
        return found[0][0] if found else "no dead letter"

    @eventually
    def every_reason_is_told() -> None:
        told = {name: reason(name) for name in POISON}
        assert {name: told[name][: len(expected)] for name, (_, expected) in POISON.items()} == {
            name: expected for name, (_, expected) in POISON.items()
        }

    every_reason_is_told()
    # A string column hands bytes beyond UTF-8 over as they are; hex keeps the client from decoding them.
    where = positions["not JSON"]
    raw = pipeline.clickhouse(
        "select hex(raw) from dead_letters where partition = {p:UInt32} and offset = {o:UInt64}",
        p=where.partition,
        o=where.offset,
    )
    assert bytes.fromhex(raw[0][0]) == POISON["not JSON"][0]


def test_a_block_of_events_from_hundreds_of_months_does_not_hold_up_the_stream(pipeline: Pipeline) -> None:
    user = f"months-{uuid4()}"
    events = [
        {"user_id": user, "event_type": "click", "timestamp": f"{2000 + month // 12}-{month % 12 + 1:02}-15T00:00:00Z"}
        for month in range(300)
    ]
    pipeline.await_events(pipeline.send(events))


def test_the_key_of_a_message_is_the_user(pipeline: Pipeline) -> None:
    user = f"clé {uuid4()}"
    ids = pipeline.send([{"user_id": user, "event_type": "click"}])
    pipeline.await_events(ids)
    assert pipeline.clickhouse("select key from landing where aggregate_id = {id:String}", id=ids[0]) == [(user,)]


def test_what_a_batch_tells_of_a_user_is_one_message_in_its_order(pipeline: Pipeline) -> None:
    talker, other = f"talker-{uuid4()}", f"other-{uuid4()}"
    users = [talker, other, talker, talker]
    ids = pipeline.send([{"user_id": user, "event_type": f"e{n}"} for n, user in enumerate(users)])
    pipeline.await_events(ids)
    rows = pipeline.clickhouse(
        "select key, payload, aggregate_id from landing where key in {u:Array(String)} order by outbox_id",
        u=[talker, other],
    )
    told = [(key, json.loads(payload), first) for key, payload, first in rows]
    assert [(key, first) for key, _, first in told] == [(talker, ids[0]), (other, ids[1])]
    assert [event["id"] for event in told[0][1]] == [ids[0], ids[2], ids[3]]
    assert told[1][1]["id"] == ids[1]
    # Senders from before do not ask for it, and readers from before know no arrays.
    alone = [{"id": str(uuid4()), "user_id": talker, "event_type": "e", "properties": {}} for _ in range(2)]
    pipeline.postgres("select * from accept_events(%s)", (json.dumps(alone),))
    kinds = pipeline.postgres(
        "select json_typeof(payload) from outbox_log where aggregate_id = any(%s)", ([event["id"] for event in alone],)
    )
    assert kinds == [("object",), ("object",)]


def test_the_outbox_as_readers_see_it_has_a_row_for_each_fact(pipeline: Pipeline) -> None:
    talker = f"talker-{uuid4()}"
    ids = pipeline.send([{"user_id": talker, "event_type": f"e{n}"} for n in range(3)])
    facts = pipeline.postgres(
        "select aggregate_id, payload ->> 'event_type' from outbox_events where partition_key = %s", (talker,)
    )
    assert sorted(facts) == sorted((id_, f"e{n}") for n, id_ in enumerate(ids))


def test_line_ends_in_what_clients_say_are_no_ends_of_events(pipeline: Pipeline) -> None:
    """A message of several events is cut at its line ends."""
    user, text = f"talker,\n{uuid4()}", 'a,\n{"id": "b"}]\r\n'
    events = [{"user_id": user, "event_type": "e", "session_id": text, "properties": {text: [text]}} for _ in range(3)]
    ids = pipeline.send(events)
    pipeline.await_events(ids)
    found = pipeline.clickhouse(
        "select session_id, properties from events_processed where user_id = {u:String}", u=user
    )
    assert [(session, json.loads(properties)) for session, properties in found] == [(text, {text: [text]})] * 3


def test_no_message_grows_with_the_batch(pipeline: Pipeline) -> None:
    user = f"much-{uuid4()}"
    ids = pipeline.send([{"user_id": user, "event_type": "e", "properties": {"text": "x" * 3000}} for _ in range(40)])
    pipeline.await_events(ids)
    # 7,000 bytes and the event that goes beyond them.
    [(longest,)] = pipeline.clickhouse("select max(length(payload)) from landing where key = {u:String}", u=user)
    assert longest < 12_000


def told(user: str) -> dict[str, str]:
    """What a message says of a new event of this user."""
    return {
        "id": str(uuid4()), "user_id": user, "event_type": "e", "timestamp": "2026-01-02T10:00:00.000000Z",
        "properties": "{}", "created_at": "2026-01-02T10:00:00.000000Z",
    }  # fmt: skip


WRITTEN: dict[str, Callable[[list[object]], str]] = {
    "in lines, as accept_events does": payload_of,
    "in one line": json.dumps,
    "indented": functools.partial(json.dumps, indent=2),
    "with blanks around it": lambda events: f"{payload_of(events)}\n",
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_of_several_events_in_a_message_only_those_that_cannot_be_read_are_dead_letters(
    pipeline: Pipeline, producer: KafkaProducer, written: Callable[[list[object]], str]
) -> None:
    user = f"mixed,\n{uuid4()}"
    good = [told(user), told(user)]
    bad: list[object] = [good[0] | {"id": "no"}, good[0] | {"id": str(uuid4()), "user_id": ""}]
    payload = written([good[0], *bad, good[1]])
    sent = producer.send(TOPIC, envelope(payload), key=user.encode()).get(30)
    pipeline.await_events([event["id"] for event in good])

    @eventually
    def both_are_told() -> None:
        [(reason, raw)] = pipeline.clickhouse(
            "select reason, raw from dead_letters where partition = {p:UInt32} and offset = {o:UInt64}",
            p=sent.partition,
            o=sent.offset,
        )
        assert reason == "event: id is not a UUID"
        assert json.loads(raw) == bad

    try:
        both_are_told()
    finally:
        dead_letters.discard(pipeline.settings)


def test_letters_that_landed_go_through_the_views_again_each_once_and_stay_letters_until_they_can_be_read(
    pipeline: Pipeline, producer: KafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "_AT_ONCE", 3)
    dead_letters.discard(pipeline.settings)  # those of other tests
    # Of several partitions, some of a message alone and some of several.
    ids = {f"mended-{n}-{uuid4()}": [str(uuid4()) for _ in range(1 + n % 2)] for n in range(8)}
    for user, of_user in ids.items():
        unreadable = [told(user) | {"id": event_id, "timestamp": "soon"} for event_id in of_user]
        producer.send(TOPIC, envelope(payload_of(unreadable)), key=user.encode()).get(30)

    def waiting() -> set[str]:
        return {letter.key.decode() for letter in dead_letters.read(pipeline.server)} & ids.keys()

    @eventually
    def all_are_letters() -> None:
        assert waiting() == ids.keys()

    all_are_letters()
    assert dead_letters.replay(pipeline.settings) == len(ids)
    all_are_letters()
    pipeline.server.command(
        "alter table landing_rows update payload = replaceAll(payload, 'soon', '2026-01-02T10:00:00.000000Z') "
        "where key in {users:Array(String)}",
        {"users": list(ids)},
        mutations_sync=2,
    )
    assert dead_letters.replay(pipeline.settings) == len(ids)
    pipeline.await_events([event_id for of_user in ids.values() for event_id in of_user])
    assert waiting() == set()


def test_each_outbox_row_lands_with_its_own_lsn(pipeline: Pipeline) -> None:
    ids = pipeline.send([{"user_id": f"lsn-{uuid4()}", "event_type": "click"} for _ in range(100)])
    pipeline.await_events(ids)
    query = "select uniqExact(lsn), uniqExact(outbox_id) from landing where aggregate_id in {ids:Array(String)}"
    assert pipeline.clickhouse(query, ids=ids) == [(100, 100)]
