"""Old days: what is proven is dropped, what is not stays and is told; what was dropped can still be sent again."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import dagster as dg
import psycopg
import pytest

from neonblue_pipeline import kept, replay, retention
from neonblue_pipeline.assets.upkeep import dropped_days
from neonblue_pipeline.resources import Servers
from neonblue_pipeline.settings import Settings
from tests.integration.pipeline.conftest import Pipeline
from tests.integration.pipeline.fix_past import Past

TODAY = datetime.now(UTC).date()
PROVEN, LOST = TODAY - timedelta(days=20), TODAY - timedelta(days=19)
pytestmark = [pytest.mark.timeout(600), pytest.mark.nightly]


class Days:
    """Two days past their time: all of one arrived, of the other an event was lost in ClickHouse."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.settings: Settings = pipeline.settings.model_copy(update={"outbox_keep_days": 14})
        self.user = f"old-{uuid4()}"
        first, second = Past(self.settings.postgres_url, PROVEN), Past(self.settings.postgres_url, LOST)
        self.key = first.experiment()
        first.assignment(self.key, self.user)
        self.events = first.events(self.user, 30)
        self.later = second.events(self.user, 5)
        first.close()
        second.close()
        pipeline.await_events([event["id"] for event in (*self.events, *self.later)])
        pipeline.await_everything()
        self.forget([self.later[0]["id"]])

    def forget(self, ids: list[str]) -> None:
        for table, column in (("events_rows", "toString(id)"), ("landing_rows", "aggregate_id")):
            self.pipeline.server.command(
                f"alter table {table} delete where {column} in {{ids:Array(String)}}", {"ids": ids}, mutations_sync=2
            )

    def partitions(self, table: str) -> list[str]:
        with psycopg.connect(self.settings.postgres_url) as postgres:
            return [day.name for day in kept.days(postgres, table)]

    def outcomes(self, events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        return self.pipeline.postgres("select outcome from accept_events(%s)", (json.dumps(events),))


@pytest.fixture(scope="module")
def days(pipeline: Pipeline) -> Iterator[Days]:
    made = Days(pipeline)
    yield made
    pipeline.postgres("drop schema earlier cascade")


def name(table: str, day: Any) -> str:
    return f"{table}_p{day:%Y%m%d}"


def test_a_proven_day_of_the_outbox_is_dropped_and_one_that_is_not_stays_and_is_told(
    days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEONBLUE_OUTBOX_KEEP_DAYS", "14")
    run = dg.materialize([dropped_days], resources={"servers": Servers()}, instance=dg.DagsterInstance.ephemeral())
    check = run.get_asset_check_evaluations()[0]
    assert run.success
    assert not check.passed
    assert name("outbox_log", PROVEN) not in days.partitions("outbox_log")
    assert name("outbox_log", LOST) in days.partitions("outbox_log")
    said = str(check.description)
    assert f"outbox_log: 1 days from {LOST} on" in said
    assert f"since {LOST + timedelta(days=15)}" in said
    assert "5 before this hop, 4 after it" in said
    assert "neonblue replay" in said


def test_an_id_stays_known_as_long_as_its_event_is_kept_though_its_outbox_is_gone(days: Days) -> None:
    assert days.outcomes([days.events[0]]) == [("duplicate",)]
    assert days.outcomes([days.events[1] | {"event_type": "another"}]) == [("conflict",)]


def test_what_was_lost_after_its_outbox_was_dropped_is_sent_again_from_the_facts(days: Days) -> None:
    lost = [event["id"] for event in days.events[:3]]
    days.forget(lost)
    server, user = days.pipeline.server, {"user": days.user}
    server.command("alter table assignments_rows delete where user_id = {user:String}", user, mutations_sync=2)
    server.command("alter table experiments_rows delete where key = {key:String}", {"key": days.key}, mutations_sync=2)
    healed = replay.heal(days.settings, patience_s=60)
    assert (healed.left, healed.behind) == ([], None)
    days.pipeline.await_events(lost)
    found = days.pipeline.clickhouse(
        """select variant_key from assignments_mv as a inner join experiment_definitions as d using (experiment_id)
           where user_id = {user:String} and d.key = {key:String}""",
        user=days.user,
        key=days.key,
    )
    assert found == [("new",)]


def test_a_day_is_dropped_as_soon_as_it_is_proven(days: Days) -> None:
    done = retention.drop_old_days(days.settings)
    assert done.held == []
    assert done.dropped == [name("outbox_log", LOST)]
    assert done.bytes_freed > 0
    assert name("events", PROVEN) in days.partitions("events")


def test_a_drop_that_was_cut_short_is_ended_and_a_day_that_somebody_else_detached_is_left_alone(days: Days) -> None:
    ours, theirs = TODAY - timedelta(days=22), TODAY - timedelta(days=23)
    with psycopg.connect(days.settings.postgres_url, autocommit=True) as postgres:
        for day in (ours, theirs):
            postgres.execute("select ensure_day_partitions(%s, 1)", (day,))
            postgres.execute(f"alter table outbox_log detach partition {name('outbox_log', day)}".encode())
        postgres.execute(f"comment on table {name('outbox_log', ours)} is 'neonblue: proven, to be dropped'".encode())
        retention.drop_old_days(days.settings)
        left = {day.name for day in kept.days(postgres, "outbox_log")}
        assert name("outbox_log", ours) not in left
        assert name("outbox_log", theirs) in left
        postgres.execute(f"drop table {name('outbox_log', theirs)}".encode())


def test_events_are_dropped_by_their_own_setting_and_then_their_ids_are_new_again(days: Days) -> None:
    done = retention.drop_old_days(days.settings.model_copy(update={"events_keep_days": 14}))
    assert done.held == []
    assert name("events", PROVEN) in done.dropped
    assert name("events", LOST) in done.dropped
    # What PostgreSQL does not keep any more is no surplus of ClickHouse.
    healed = replay.heal(days.settings, patience_s=60)
    assert (healed.unequal, healed.left) == ([], [])
