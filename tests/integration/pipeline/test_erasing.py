"""Erasing on real servers: what is refused from the request on, what others keep, and what happens after a kill."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from neonblue_pipeline import kept, reconcile, verify
from neonblue_pipeline.erasing import again, analytics, facts, steps, topic
from neonblue_pipeline.errors import BackupError
from neonblue_pipeline.settings import Settings
from tests.integration.pipeline.conftest import Pipeline
from tests.integration.pipeline.fix_past import Past

pytestmark = pytest.mark.usefixtures("no_daemon")
KEY = "k" * 43


@pytest.fixture(scope="module")
def settings(pipeline: Pipeline) -> Settings:
    """Those of the stack, whose own key the people of this run are hashed with."""
    assert pipeline.settings.privacy_key
    return pipeline.settings


@pytest.fixture(autouse=True)
def _nothing_is_left_to_erase(settings: Settings) -> Iterator[None]:
    """A daemon of the stack, which may start later, would do what was asked for here, in the middle of other tests."""
    yield
    with session(settings) as postgres:
        postgres.execute("delete from erasure_users")
        postgres.execute("update erasures set finished_at = now() where finished_at is null")


def session(settings: Settings, key: str | None = None) -> "psycopg.Connection[Any]":
    postgres = psycopg.connect(settings.postgres_url, autocommit=True)
    postgres.execute("select set_config('neonblue.privacy_key', %s, false)", (key or settings.privacy_key_text,))
    return postgres


def ask(settings: Settings, user: str) -> int:
    with session(settings) as postgres:
        row = postgres.execute("select request_erasure(%s, 'test', null)", (user,)).fetchone()
    assert row is not None
    return int(row[0])


def click(user: str, **more: Any) -> dict[str, Any]:
    return {"id": str(uuid4()), "user_id": user, "event_type": "click", "timestamp": "2026-01-02T10:00:00Z",
            "experiment": None, "properties": {"value": 1}} | more  # fmt: skip


def accept(settings: Settings, events: list[dict[str, Any]], key: str | None = None) -> list[tuple[int, str]]:
    with session(settings, key) as postgres:
        return postgres.execute("select * from accept_events(%s)", (json.dumps(events),)).fetchall()


def everything_of(pipeline: Pipeline, user: str) -> int:
    """Rows of ClickHouse that name the user, in every table that has a column for one."""
    tables = pipeline.clickhouse(
        """select c.table, c.name from system.columns as c
           inner join system.tables as t on t.database = c.database and t.name = c.table
           where c.database = currentDatabase() and c.name in ('user_id', 'key', 'raw') and t.engine like '%MergeTree'
             and c.type like '%String%'"""
    )
    query = " union all ".join(
        f"select count() from {table} where position(toString({column}), {{user:String}}) > 0"
        for table, column in tables
    )
    return sum(row[0] for row in pipeline.clickhouse(query, user=user))


def test_every_table_that_names_users_is_known_to_the_erasure(pipeline: Pipeline) -> None:
    found = {
        row[0]
        for row in pipeline.clickhouse(
            """select t.name from system.tables as t
               inner join system.columns as c on c.database = t.database and c.table = t.name
               where t.database = currentDatabase() and t.engine like '%MergeTree' and c.name = 'user_id'"""
        )
    }
    assert found <= {*analytics.NAMED_IN, *analytics.BUILT, *analytics.PASSING}


def test_postgresql_and_python_make_the_same_keyed_hash(settings: Settings) -> None:
    import hmac

    for user in ("u1", "é\U0001f600", "x" * 256):
        with session(settings) as postgres:
            row = postgres.execute("select user_subject(%s, subject_pads())", (user,)).fetchone()
        expected = hmac.digest(settings.privacy_key_text.encode(), user.encode(), "sha256")
        assert row == (expected,)


def test_from_the_request_on_facts_of_the_person_are_refused_and_those_of_others_are_not(
    pipeline: Pipeline, settings: Settings
) -> None:
    key, _ = pipeline.create_experiment([("proportion", "click", None)])
    gone, other = (f"{name}-{uuid4()}" for name in ("gone", "other"))
    number = ask(settings, gone)
    assert ask(settings, gone) == number
    assert accept(settings, [click(gone), click(other), click(gone, experiment=key)]) == [(0, "erased"), (2, "erased")]
    batch = [
        {"experiment": key, "user_id": user, "variant_key": "new", "assigned_at": None, "source": "test",
         "attributes": {}, "request_id": None}
        for user in (gone, other)
    ]  # fmt: skip
    with session(settings) as postgres:
        told = postgres.execute("select outcome from accept_assignments(%s)", (json.dumps(batch),)).fetchall()
    assert told == [("erased",), ("created",)]


def test_with_another_key_or_none_nothing_is_accepted_that_could_be_of_an_erased_person(settings: Settings) -> None:
    ask(settings, f"gone-{uuid4()}")
    for key in (KEY, ""):
        with psycopg.connect(settings.postgres_url) as postgres:
            postgres.execute("select set_config('neonblue.privacy_key', %s, false)", (key,))
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=r"key|KEY"):
                postgres.execute("select * from accept_events(%s)", (json.dumps([click("anybody")]),))


def test_a_ledger_of_another_key_is_told_from_one_of_this_stack(settings: Settings) -> None:
    ask(settings, f"gone-{uuid4()}")
    ledger = again.read(settings)
    again.demand_key(settings, ledger)
    with pytest.raises(BackupError, match=f"another NEONBLUE_PRIVACY_KEY.*hash of that key: {ledger[0]['key_name']}"):
        again.demand_key(settings.model_copy(update={"privacy_key": KEY}), ledger)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("step", ["topic", "delete", "build", "log"])
def test_a_run_that_was_killed_is_followed_by_one_that_goes_on(
    pipeline: Pipeline, settings: Settings, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    key, experiment_id = pipeline.create_experiment([("mean", "click", "value")])
    gone, other = (f"{name}-{uuid4()}" for name in ("gone", "other"))
    pipeline_of_today = {gone: "new", other: "new"}
    with session(settings) as postgres:
        batch = [
            {"experiment": key, "user_id": user, "variant_key": variant, "assigned_at": "2026-01-02T00:00:00Z",
             "source": "test", "attributes": {}, "request_id": None}
            for user, variant in pipeline_of_today.items()
        ]  # fmt: skip
        postgres.execute("select * from accept_assignments(%s)", (json.dumps(batch),))
    events = [click(user) for user in (gone, other)]
    assert accept(settings, events) == []
    pipeline.await_events([event["id"] for event in events])
    pipeline.build()
    assert everything_of(pipeline, gone) > 0
    number = ask(settings, gone)

    class Killed(BaseException):
        pass

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    places = {
        "topic": (topic, "clear"),
        "delete": (analytics, "_old_parts"),
        "build": (analytics, "build"),
        "log": (facts, "clear_log"),
    }
    with monkeypatch.context() as patched:
        patched.setattr(*places[step], kill)
        with pytest.raises(Killed):
            steps.erase(settings)
    done = steps.erase(settings)
    assert number in done.finished
    assert everything_of(pipeline, gone) == 0
    report = verify.verify(settings)
    assert [check for check in report.checks if check.gaps] == []
    rolled = pipeline.rollups(experiment_id)
    assert [row for row in rolled["user_rollup"] if gone in row] == []
    assert len([row for row in rolled["user_rollup"] if other in row]) == 1
    assert steps.erase(settings).finished == []


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_windows_of_days_that_postgresql_dropped_change_on_both_sides_by_the_persons_share(
    pipeline: Pipeline, settings: Settings
) -> None:
    # Older than any day that is kept.
    pipeline.postgres("select ensure_day_partitions((now() at time zone 'UTC')::date, 1)")
    with session(settings) as postgres:
        day = kept.days(postgres, "events")[0].day - timedelta(days=40)
    gone, other = (f"{name}-{uuid4()}" for name in ("gone", "other"))
    past = Past(settings.postgres_url, day)
    events = past.events(other, 3) + past.events(gone, 2)
    past.close()
    pipeline.await_events([event["id"] for event in events])
    start = datetime(day.year, day.month, day.day, 10, tzinfo=UTC)
    entry = (
        "select postgres_count, clickhouse_count, postgres_checksum = clickhouse_checksum, proven_at is not null "
        f"from reconciliation_windows where window_start = '{start.isoformat()}' and aggregate_type = 'event'"
    )
    with session(settings) as postgres:
        found = reconcile.compare(postgres, pipeline.server, start, start + timedelta(minutes=5), 5)
        reconcile.record(postgres, found, start, start + timedelta(minutes=5))
        expected = [window for window in found if window.aggregate_type == "event"]
        for table in ("events", "outbox_log"):
            postgres.execute(f"drop table {table}_p{day:%Y%m%d}".encode())
    assert pipeline.postgres(entry) == [(5, 5, True, True)]
    ask(settings, gone)
    steps.erase(settings)
    assert len(expected) == 1
    assert pipeline.postgres(entry) == [(3, 3, True, True)]
    pipeline.postgres("drop schema earlier cascade")


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_who_is_in_the_ledger_and_in_a_restored_database_is_erased_again(
    pipeline: Pipeline, settings: Settings
) -> None:
    gone = f"gone-{uuid4()}"
    ask(settings, gone)
    steps.erase(settings)
    ledger = again.read(settings)
    assert again.written(ledger).count("\n") == len(ledger)
    # As a backup of before brings it back.
    pipeline.postgres(
        """insert into users (user_id) values (%s) on conflict do nothing""",
        (gone,),
    )
    pipeline.server.insert("variant_sightings", ["experiment_id", "user_id", "variant"], [[1, gone, "new"]])
    assert again.open_again(settings) == 1
    steps.erase(settings)
    assert everything_of(pipeline, gone) == 0
    assert pipeline.postgres("select count(*) from users where user_id = %s", (gone,)) == [(0,)]
    assert again.open_again(settings) == 0
