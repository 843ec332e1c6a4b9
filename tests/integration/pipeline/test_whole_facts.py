"""The proof holds whole facts against each other; messages without a value are told from lost ones, and kept."""

from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from kafka import KafkaProducer

from neonblue_pipeline import dead_letters, kafka, offsets, reconcile, replay
from neonblue_pipeline.settings import TOPIC
from neonblue_pipeline.verify import verify
from tests.integration.pipeline.conftest import Pipeline

ODD = [
    {"value": 2**53 + 1, "page": "/ä\u2028", "device": "m"},
    {"value": 1e308, "x": [1, {"y": "\x1f"}]},
    {"value": 10**25, "score": -0.0},
    {"value": "7", "page": None, "browser": 5},
    {},
]


@pytest.fixture
def sent(pipeline: Pipeline) -> list[str]:
    events = [
        {"user_id": f"whole-{uuid4()}", "event_type": "click", "properties": odd, "session_id": session}
        for odd in ODD
        for session in (None, "", "+")
    ]
    ids = pipeline.send(events)
    pipeline.await_events(ids)
    pipeline.await_everything()
    return ids


def unequal(pipeline: Pipeline, hop: reconcile.Hop, ids: list[str]) -> list[reconcile.Differences]:
    """Differences of the windows in which these events were accepted."""
    with psycopg.connect(pipeline.settings.postgres_url) as postgres:
        row = postgres.execute(
            "select min(created_at), max(created_at) from events where event_id = any(%s::uuid[])", (ids,)
        ).fetchone()
        assert row is not None
        databases = reconcile.Databases(postgres, pipeline.server)
        windows = databases.windows(hop, row[0], row[1] + timedelta(microseconds=1), 5)
        assert sum(window.postgres[0] for window in windows) >= len(ids)
        return [databases.differences(hop, window) for window in windows if not window.equal]


@pytest.mark.parametrize("hop", reconcile.HOPS, ids=[hop.name for hop in reconcile.HOPS])
def test_odd_values_have_one_digest_at_every_hop(pipeline: Pipeline, sent: list[str], hop: reconcile.Hop) -> None:
    assert unequal(pipeline, hop, sent) == []


@pytest.mark.parametrize(
    ("table", "column", "change", "hop"),
    [
        ("events_rows", "toString(id)", "properties = '{\"value\": 8}'", reconcile.PROCESSED),
        ("events_rows", "toString(id)", "value = 8", reconcile.PROCESSED),
        ("landing_rows", "aggregate_id", "payload = replaceOne(payload, 'click', 'clack')", reconcile.LANDING),
    ],
)
@pytest.mark.nightly
def test_a_changed_body_is_named_and_repaired(
    pipeline: Pipeline, sent: list[str], table: str, column: str, change: str, hop: reconcile.Hop
) -> None:
    victim = sent[0]
    pipeline.server.command(
        f"alter table {table} update {change} where {column} = {{id:String}}", {"id": victim}, mutations_sync=2
    )
    [found] = unequal(pipeline, hop, sent)
    assert (found.missing, found.surplus, len(found.changed)) == ([], [], 1)
    if hop is reconcile.PROCESSED:
        assert found.changed == [victim]
    healed = replay.heal(pipeline.settings, patience_s=60)
    assert (healed.left, healed.behind) == ([], None)
    assert unequal(pipeline, hop, sent) == []
    assert pipeline.clickhouse("select count() from events_processed where toString(id) = {id:String}", id=victim) == [
        (1,)
    ]


@pytest.mark.nightly
def test_a_definition_that_is_missing_in_clickhouse_is_noticed_and_sent_again(pipeline: Pipeline) -> None:
    key, experiment_id = pipeline.create_experiment([("proportion", "click", None)])
    pipeline.await_everything()
    pipeline.server.command(
        f"alter table experiments_rows delete where experiment_id = {experiment_id}", mutations_sync=2
    )
    healed = replay.heal(pipeline.settings, patience_s=60)
    assert [window.aggregate_type for window in healed.unequal] == ["experiment"]
    assert healed.left == []
    assert pipeline.clickhouse("select count() from experiment_definitions where key = {key:String}", key=key) == [(1,)]


def test_a_draft_that_was_deleted_is_gone_from_clickhouse_and_proven_to_be(pipeline: Pipeline) -> None:
    key, experiment_id = pipeline.create_experiment([("proportion", "click", None)])
    pipeline.await_everything()
    pipeline.postgres("select delete_draft(%s)", (experiment_id,))
    pipeline.await_everything()
    query = "select count() from experiment_definitions where key = {key:String}"
    assert pipeline.clickhouse(query, key=key) == [(0,)]
    healed = replay.heal(pipeline.settings, patience_s=60)
    assert (healed.unequal, healed.left) == ([], [])


def test_a_message_without_value_is_no_loss_and_becomes_a_dead_letter_with_its_position(pipeline: Pipeline) -> None:
    key = f"empty-{uuid4()}".encode()
    producer = KafkaProducer(bootstrap_servers=pipeline.settings.kafka_bootstrap)
    places = [producer.send(TOPIC, value=value, key=key).get(timeout=30) for value in (None, b"")]
    producer.close()
    # What comes after them in the same partitions is read: they are not only late.
    users = [f"after-{n}-{uuid4()}" for n in range(40)]
    pipeline.await_events(pipeline.send([{"user_id": user, "event_type": "click"} for user in users]))
    pipeline.await_everything()
    passed_over = {
        (m.partition, m.offset) for each in offsets.partitions(pipeline.settings, pipeline.server) for m in each.empty
    }
    assert {(place.partition, place.offset) for place in places} <= passed_over
    report = verify(pipeline.settings, patience_s=60)
    topic = next(check for check in report.checks if check.hop == "topic")
    assert topic.ok
    assert "without a value" in topic.detail
    assert offsets.keep_empty(pipeline.settings, pipeline.server) == len(passed_over)
    assert offsets.keep_empty(pipeline.settings, pipeline.server) == 0
    letters = {(m.partition, m.offset): m for m in dead_letters.read(pipeline.server, everything=True)}
    assert [letters[place.partition, place.offset].reason for place in places] == [offsets.TOMBSTONE, offsets.EMPTY]
    assert {letters[place.partition, place.offset].key for place in places} == {key}


def test_a_message_of_a_broker_whose_clock_went_back_has_landed(pipeline: Pipeline) -> None:
    users = [f"before-{n}-{uuid4()}" for n in range(40)]
    pipeline.await_events(pipeline.send([{"user_id": user, "event_type": "click"} for user in users]))
    born = kafka.first_timestamps(pipeline.settings)
    early = min(born.values()) - timedelta(hours=1)
    try:
        with kafka.setting(pipeline.settings, "message.timestamp.type", "CreateTime"):
            producer = KafkaProducer(bootstrap_servers=pipeline.settings.kafka_bootstrap)
            sent = producer.send(TOPIC, value=b"early", timestamp_ms=int(early.timestamp() * 1000)).get(timeout=30)
            producer.close()
    finally:
        kafka.ensure_topic(pipeline.settings)  # the broker's default is not the topic's
    assert sent.timestamp / 1000 < born[sent.partition].timestamp()
    pipeline.await_everything()
    found = {each.number: each for each in offsets.partitions(pipeline.settings, pipeline.server)}[sent.partition]
    # Other tests lose messages on purpose.
    assert not any(first <= sent.offset <= last for first, last in found.lost)


@pytest.mark.nightly
def test_an_offset_whose_message_was_lost_stays_a_gap(pipeline: Pipeline, sent: list[str]) -> None:
    lost = {"id": sent[0]}
    where = "from landing where aggregate_id = {id:String}"
    [(partition, offset)] = pipeline.clickhouse(f"select partition, offset {where} limit 1", **lost)
    pipeline.server.command("alter table landing_rows delete where aggregate_id = {id:String}", lost, mutations_sync=2)
    found = {each.number: each for each in offsets.partitions(pipeline.settings, pipeline.server)}[partition]
    assert (offset, offset) in found.lost
    assert replay.heal(pipeline.settings, patience_s=60).left == []
