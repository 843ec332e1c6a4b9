"""A stream that is brought back: by one process at a time, and to the end, whoever dies on the way."""

import json
from collections.abc import Iterator
from uuid import uuid4

import httpx
import psycopg
import pytest

from neonblue_pipeline import connector, recoveries, recovery
from neonblue_pipeline.arrival import await_arrival
from neonblue_pipeline.settings import CONNECTOR, SLOT
from tests.chaos.positions import put_offset_ahead, take_slot_away
from tests.integration.pipeline.conftest import Pipeline, eventually


class Died(Exception):
    """Stands for the death of the process."""


@pytest.fixture
def whole_again(pipeline: Pipeline) -> Iterator[None]:
    yield
    recovery.recover(pipeline.settings)
    assert recovery.problems(pipeline.settings) == []


@pytest.mark.usefixtures("whole_again")
def test_what_was_lost_with_a_slot_is_sent_again_though_the_first_recovery_died_when_the_new_slot_stood(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.await_events(pipeline.send([{"user_id": "before", "event_type": "click"}]))
    # The connector has stored where it is: one that never did makes a slot by itself.
    assert await_arrival(pipeline.settings, 60) is None
    take_slot_away(pipeline.settings)
    lost = pipeline.send([{"user_id": "between", "event_type": "click"}])

    def die(*_: object) -> int:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "replay", die)
        with pytest.raises(Died):
            recovery.recover(pipeline.settings)
    pipeline.await_events(pipeline.send([{"user_id": "after", "event_type": "click"}]))
    there = "select count() from events_processed where toString(id) = {id:String}"
    assert pipeline.clickhouse(there, id=lost[0]) == [(0,)]

    (problem,) = recovery.problems(pipeline.settings)
    assert problem.part == "recovery"
    assert f"replication slot '{SLOT}' does not exist any more" in problem.found

    healed = recovery.recover(pipeline.settings)
    assert healed.resent >= 1
    pipeline.await_events(lost)
    assert recovery.problems(pipeline.settings) == []


@pytest.mark.usefixtures("whole_again")
def test_what_a_connector_passes_over_whose_offset_is_ahead_of_postgresql_is_sent_again(pipeline: Pipeline) -> None:
    pipeline.await_events(pipeline.send([{"user_id": "before", "event_type": "click"}]))
    assert await_arrival(pipeline.settings, 60) is None
    put_offset_ahead(pipeline.settings)
    passed_over = pipeline.send([{"user_id": "ahead", "event_type": "click"}])
    (problem,) = recovery.problems(pipeline.settings)
    assert problem.part == "slot"
    assert "is ahead of PostgreSQL's write-ahead log" in problem.found
    recovery.recover(pipeline.settings)
    pipeline.await_events(passed_over)
    assert recovery.problems(pipeline.settings) == []


def test_a_transaction_that_began_before_another_and_ended_after_it_is_no_moved_slot(pipeline: Pipeline) -> None:
    """Its rows lie before the other's commit in the log, and are read after it."""
    pipeline.await_events(pipeline.send([{"user_id": "before", "event_type": "click"}]))
    assert await_arrival(pipeline.settings, 60) is None
    early = {"id": str(uuid4()), "user_id": "early", "event_type": "click", "properties": {}}
    with psycopg.connect(pipeline.settings.postgres_url) as transaction:
        transaction.execute("select * from accept_events(%s, true)", (json.dumps([early]),))
        early_rows_until = transaction.execute("select pg_current_wal_insert_lsn()").fetchall()[0][0]
        between = pipeline.send([{"user_id": "between", "event_type": "click"}])
    pipeline.await_events([early["id"], *between])

    @eventually
    def told_to_postgresql() -> None:
        slot = "select confirmed_flush_lsn > %s::pg_lsn from pg_replication_slots where slot_name = %s"
        assert pipeline.postgres(slot, (early_rows_until, SLOT)) == [(True,)]

    told_to_postgresql()
    assert recovery.problems(pipeline.settings) == []


@pytest.mark.usefixtures("whole_again")
def test_a_slot_is_given_up_though_connect_does_not_know_its_connector(pipeline: Pipeline) -> None:
    pipeline.await_events(pipeline.send([{"user_id": "before", "event_type": "click"}]))
    slots = "select count(*) from pg_replication_slots where slot_name = %s"
    with httpx.Client(base_url=pipeline.settings.connect_url, timeout=30) as connect:
        connector.stop(connect, pipeline.settings.connector_timeout_s)
        connector.request(connect, "DELETE", f"/connectors/{CONNECTOR}/offsets")
        connector.request(connect, "DELETE", f"/connectors/{CONNECTOR}")
    assert pipeline.postgres(slots, (SLOT,)) == [(1,)]
    recovery.give_up_slot(pipeline.settings)
    assert pipeline.postgres(slots, (SLOT,)) == [(0,)]


@pytest.mark.usefixtures("whole_again")
def test_a_table_that_was_dropped_stands_again_as_it_was_with_all_that_was_in_it(pipeline: Pipeline) -> None:
    pipeline.await_events(ids := pipeline.send([{"user_id": "kept", "event_type": "click"}]))
    definition = "select create_table_query from system.tables where name = 'events_rows'"
    before = pipeline.clickhouse(definition)
    pipeline.server.command("drop table events_rows sync")
    recovery.recover(pipeline.settings)
    assert pipeline.clickhouse(definition) == before
    pipeline.await_events(ids)


@pytest.mark.usefixtures("whole_again")
def test_a_recovery_at_work_is_no_problem_and_one_that_ended_without_an_end_is(pipeline: Pipeline) -> None:
    with recoveries.alone(pipeline.settings, print) as recovery_at_work:
        recovery_at_work.begin("nothing, as this is a test")
        assert recoveries.broken_off(pipeline.settings) is None
    told = recoveries.broken_off(pipeline.settings)
    assert told
    assert told.startswith("nothing, as this is a test (begun 20")
