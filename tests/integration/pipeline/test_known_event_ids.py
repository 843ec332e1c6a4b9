"""An event's id is stored once, however many days lie between; days that are over are looked up in one place."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import dagster as dg
import psycopg
import pytest

from neonblue_pipeline import event_ids
from neonblue_pipeline.assets.upkeep import known_event_ids
from neonblue_pipeline.resources import Servers
from tests.integration.pipeline.conftest import Pipeline
from tests.integration.pipeline.fix_past import Past

TODAY = datetime.now(UTC).date()
USER = "remembered"
DAY = TODAY - timedelta(days=40)


class Trial:
    """One transaction of which nothing stays: days of the past, and what was accepted on them."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self.connection = connection

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(query.encode(), parameters).fetchall()

    def accept(self, day: date, number: int) -> list[dict[str, Any]]:
        """Events accepted on that day, as they were sent."""
        past = Past(self.connection, day)
        events = past.events(USER, number)
        past.over()
        return events

    def outcomes(self, *events: dict[str, Any]) -> list[str]:
        return [outcome for (outcome,) in self.rows("select outcome from accept_events(%s)", json.dumps(events))]


@pytest.fixture
def trial(pipeline: Pipeline) -> Iterator[Trial]:
    with psycopg.connect(pipeline.settings.postgres_url) as connection:
        yield Trial(connection)
        connection.rollback()


def test_an_id_of_any_day_that_is_over_is_a_repeat_before_it_is_remembered_and_after(trial: Trial) -> None:
    events = trial.accept(DAY, 3)
    changed = events[1] | {"event_type": "another"}
    assert trial.outcomes(events[0], changed) == ["duplicate", "conflict"]
    assert event_ids.remember(trial.connection)[DAY] == 3
    assert trial.outcomes(events[0], changed, events[2]) == ["duplicate", "conflict", "duplicate"]
    assert event_ids.remember(trial.connection) == {}


def test_a_remembered_day_is_not_looked_at_again(trial: Trial) -> None:
    (event,) = trial.accept(DAY, 1)
    event_ids.remember(trial.connection)
    trial.connection.execute("delete from known_event_ids")
    trial.connection.execute("delete from events where event_id = %s", (event["id"],))
    assert trial.outcomes(event) == []


def test_days_that_a_clock_ahead_made_look_past_are_looked_up_and_remembered_again(trial: Trial) -> None:
    trial.accept(DAY + timedelta(days=1), 1)
    event_ids.remember(trial.connection)
    (event,) = trial.accept(DAY, 1)
    assert trial.outcomes(event) == ["duplicate"]
    assert event_ids.remember(trial.connection)[DAY] == 1
    assert trial.outcomes(event) == ["duplicate"]


def test_an_id_accepted_under_a_clock_ahead_is_a_repeat_when_the_clock_is_right_again(trial: Trial) -> None:
    (event,) = trial.accept(TODAY + timedelta(days=1), 1)
    assert trial.outcomes(event) == ["duplicate"]


def test_an_id_outlives_its_day_and_is_new_again_when_its_month_is_over(trial: Trial) -> None:
    (event,) = trial.accept(DAY, 1)
    event_ids.remember(trial.connection)
    trial.connection.execute(f"drop table events_p{DAY:%Y%m%d}".encode())
    assert trial.outcomes(event) == ["duplicate"]
    assert trial.rows("select forget_event_ids_before(%s)", DAY) == [(0,)]
    assert trial.rows("select forget_event_ids_before(%s)", DAY + timedelta(days=32)) == [(1,)]
    assert trial.outcomes(event) == []


def test_nothing_is_remembered_of_a_person_who_was_erased(trial: Trial) -> None:
    (event,) = trial.accept(DAY, 1)
    event_ids.remember(trial.connection)
    trial.connection.execute("select erase_facts(%s)", (USER,))
    assert trial.rows("select from known_event_ids where event_id = %s", event["id"]) == []
    assert trial.outcomes(event) == []


def test_a_day_is_remembered_only_when_its_last_writer_has_ended(pipeline: Pipeline, trial: Trial) -> None:
    trial.connection.execute("update intake_days set known_until = '-infinity'")
    trial.connection.execute("set local lock_timeout = '100ms'")
    with psycopg.connect(pipeline.settings.postgres_url) as writer:
        # What begin_intake holds until the writer's end.
        lock = "select pg_advisory_xact_lock_shared(hashtext('neonblue intake day'), %s - date '2000-01-01')"
        writer.execute(lock, (DAY,))
        with pytest.raises(psycopg.errors.LockNotAvailable), trial.connection.transaction():
            trial.connection.execute("select remember_event_ids(%s)", (DAY,))
    assert trial.rows("select remember_event_ids(%s)", DAY) == [(0,)]


def test_the_asset_takes_over_the_days_that_are_over(pipeline: Pipeline) -> None:
    pipeline.postgres("select ensure_day_partitions(%s, 1)", (DAY,))
    pipeline.postgres("update intake_days set known_until = %s", (DAY - timedelta(days=1),))
    try:
        instance = dg.DagsterInstance.ephemeral()
        run = dg.materialize([known_event_ids], resources={"servers": Servers()}, instance=instance)
        assert run.success
        assert pipeline.postgres("select known_until >= %s from intake_days", (DAY,)) == [(True,)]
    finally:
        for table in ("events", "outbox_log"):
            pipeline.postgres(f"drop table {table}_p{DAY:%Y%m%d}")


def test_a_transaction_that_cannot_see_who_stored_its_event_is_told_so_and_one_that_can_of_a_duplicate(
    pipeline: Pipeline,
) -> None:
    event = {
        "id": str(uuid4()), "user_id": USER, "event_type": "e", "timestamp": "2026-01-02T10:00:00Z",
        "experiment": None, "properties": {},
    }  # fmt: skip
    with psycopg.connect(pipeline.settings.postgres_url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("select 1")  # what it sees from here on
        pipeline.send([event])
        with pytest.raises(psycopg.errors.SerializationFailure):
            Trial(connection).outcomes(event)
        connection.rollback()
        assert Trial(connection).outcomes(event) == ["duplicate"]
