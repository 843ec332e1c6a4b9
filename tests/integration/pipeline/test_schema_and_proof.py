"""Applying files, registering the connector, proving windows: what must be safe to repeat, and what a change does."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import dagster as dg
import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from neonblue_pipeline import connector, ledger, reconcile
from neonblue_pipeline.definitions import defs
from neonblue_pipeline.settings import CONNECTOR
from neonblue_pipeline.setup import missing
from neonblue_pipeline.sqlfiles import SqlFile, read_sql, sql_files
from tests.integration.pipeline.conftest import Pipeline, eventually


def rendered(pipeline: Pipeline) -> list[SqlFile]:
    return [file.rendered(pipeline.settings.sql_variables) for file in sql_files("clickhouse")]


def test_setting_up_again_applies_nothing_and_the_check_agrees(pipeline: Pipeline) -> None:
    with ledger.clickhouse_schema(pipeline.settings, "tests") as schema:
        assert ledger.apply(schema, rendered(pipeline)) == []
    with ledger.postgres_schema(pipeline.settings) as schema:
        assert ledger.apply(schema, sql_files("postgres")) == []
    assert connector.register(pipeline.settings)["changed"] is False
    assert missing(pipeline.settings) == []


def test_both_databases_live_in_utc_wherever_the_machine_stands(pipeline: Pipeline) -> None:
    assert pipeline.postgres("show timezone") == pipeline.clickhouse("select timezone()") == [("UTC",)]


def test_no_event_is_lost_while_a_view_changes_under_the_stream(pipeline: Pipeline) -> None:
    files = rendered(pipeline)
    user = f"change-{uuid4()}"
    ids = pipeline.send([{"user_id": user, "event_type": "click"} for _ in range(200)])
    changed = [
        SqlFile(f.name, f.text + "-- changed\n") if f.name == "clickhouse/131_events_views.sql" else f for f in files
    ]
    with ledger.clickhouse_schema(pipeline.settings, "tests") as schema:
        ids += pipeline.send([{"user_id": user, "event_type": "click"} for _ in range(200)])
        assert "clickhouse/190_landing_from_kafka.sql" in ledger.apply(schema, changed)
        ids += pipeline.send([{"user_id": user, "event_type": "click"} for _ in range(200)])
        ledger.apply(schema, files)
    pipeline.await_events(ids)


def test_a_failed_task_is_repaired_by_registering_again(pipeline: Pipeline) -> None:
    with psycopg.connect(pipeline.settings.postgres_url, autocommit=True) as postgres:
        postgres.execute("alter publication experiments_outbox rename to put_away")
        try:
            with httpx.Client(base_url=pipeline.settings.connect_url, timeout=30) as connect:
                connect.post(f"/connectors/{CONNECTOR}/restart?includeTasks=true")

                @eventually
                def failed() -> None:
                    state = connector.status(connect)
                    assert state is not None
                    assert connector.task_failure(state)

                failed()
        finally:
            postgres.execute("alter publication put_away rename to experiments_outbox")
    outcome = connector.register(pipeline.settings)
    assert outcome["restarts"] >= 1
    pipeline.await_events(pipeline.send([{"user_id": f"repaired-{uuid4()}", "event_type": "click"}]))


@pytest.mark.parametrize(("done", "state"), [("pause", "PAUSED"), ("stop", "STOPPED")])
def test_a_connector_that_was_paused_or_stopped_runs_again_when_it_is_registered(
    pipeline: Pipeline, done: str, state: str
) -> None:
    with httpx.Client(base_url=pipeline.settings.connect_url, timeout=30) as connect:
        connector.request(connect, "PUT", f"/connectors/{CONNECTOR}/{done}")

        @eventually
        def at_rest() -> None:
            told = connector.status(connect)
            assert told is not None
            assert {part["state"] for part in (told["connector"], *told["tasks"])} == {state}

        at_rest()
    outcome = connector.register(pipeline.settings)
    assert (outcome["changed"], outcome["resumed"]) == (False, True)
    pipeline.await_events(pipeline.send([{"user_id": f"resumed-{uuid4()}", "event_type": "click"}]))


@pytest.fixture
def window(pipeline: Pipeline) -> tuple[reconcile.Window, list[str]]:
    ids = pipeline.send([{"user_id": f"proof-{uuid4()}", "event_type": "click"} for _ in range(50)])
    pipeline.await_events(ids)
    pipeline.await_everything()
    return compare(pipeline, ids), ids


def compare(pipeline: Pipeline, ids: list[str]) -> reconcile.Window:
    """The minute in which these events were accepted, on both sides."""
    with psycopg.connect(pipeline.settings.postgres_url) as postgres:
        row = postgres.execute(
            "select date_trunc('minute', min(created_at), 'UTC') from events where event_id = any(%s::uuid[])", (ids,)
        ).fetchone()
        assert row is not None
        found = reconcile.compare(postgres, pipeline.server, row[0], row[0] + timedelta(minutes=1), 1)
    return next(w for w in found if w.aggregate_type == "event")


def test_a_window_is_equal_when_everything_arrived(window: tuple[reconcile.Window, list[str]]) -> None:
    found, ids = window
    assert found.postgres[0] >= len(ids)
    assert found.equal


def test_one_missing_event_makes_its_window_unequal_and_another_id_changes_the_checksum(
    pipeline: Pipeline, window: tuple[reconcile.Window, list[str]]
) -> None:
    _, ids = window
    row = pipeline.clickhouse("select * from events_rows final where toString(id) = {id:String}", id=ids[0])
    pipeline.server.command(f"alter table events_rows delete where toString(id) = '{ids[0]}'", mutations_sync=2)
    columns = [c for (c,) in pipeline.clickhouse("select name from system.columns where table = 'events_rows'")]
    try:
        without = compare(pipeline, ids)
        assert without.clickhouse[0] == without.postgres[0] - 1
        stranger = [uuid4() if c == "id" else value for c, value in zip(columns, row[0], strict=True)]
        pipeline.server.insert("events_rows", columns, [stranger])
        swapped = compare(pipeline, ids)
        assert swapped.clickhouse[0] == swapped.postgres[0]
        assert not swapped.equal
        pipeline.server.command(f"alter table events_rows delete where id = '{stranger[0]}'", mutations_sync=2)
    finally:
        pipeline.server.insert("events_rows", columns, [row[0]])
    assert compare(pipeline, ids).equal


def test_a_window_stays_open_while_a_writer_of_it_is_at_work(pipeline: Pipeline) -> None:
    pipeline.await_events(pipeline.send([{"user_id": f"open-{uuid4()}", "event_type": "click"}]))
    with (
        psycopg.connect(pipeline.settings.postgres_url) as writer,
        psycopg.connect(pipeline.settings.postgres_url) as reader,
    ):
        began = writer.execute("select begin_intake()").fetchone()
        closed = reader.execute("select clock_timestamp(), least_closed from (" + closed_until() + ") c").fetchone()
        assert began is not None
        assert closed is not None
        assert closed[1] <= began[0] < closed[0]


def closed_until() -> str:
    from neonblue_pipeline.sqlfiles import read_sql

    return read_sql("read/closed_until").replace("as closed_until", "as least_closed")


def test_all_assets_materialised_twice_leave_the_same_rows(pipeline: Pipeline) -> None:
    key, x = pipeline.create_experiment([("proportion", "conversion", None), ("mean", "conversion", None)])
    users = {f"u{n}-{key}": ("control", "new")[n % 2] for n in range(10)}
    pipeline.assign(key, users)
    pipeline.await_events(
        pipeline.send(
            [{"user_id": u, "event_type": "conversion", "properties": {"value": n}} for n, u in enumerate(users)]
        )
    )
    pipeline.await_everything()
    seen = []
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            for job in ("setup", "refresh"):
                assert defs.resolve_job_def(job).execute_in_process(instance=instance).success
            results = pipeline.clickhouse(
                "select * from experiment_results where experiment_id = {x:UInt64} order by position", x=x
            )
            quality = pipeline.clickhouse("select * from experiment_quality where experiment_id = {x:UInt64}", x=x)
            seen.append((pipeline.rollups(x), results, quality))
            assert len(results) == 4
            assert len(quality) == 1
    assert seen[0] == seen[1]


def test_facts_are_overdue_only_where_their_window_was_never_compared(pipeline: Pipeline) -> None:
    user = f"overdue-{uuid4()}"
    pipeline.send([{"user_id": user, "event_type": "click"}])
    query = read_sql("read/ledger_gaps").encode()

    def overdue(postgres: "psycopg.Connection[Any]", hours: int) -> bool:
        row = postgres.cursor(row_factory=dict_row).execute(query, {"overdue_hours": hours}).fetchone()
        assert row is not None
        return bool(row["overdue"])

    # Negative hours: what was accepted just now counts as old. Nothing of this is kept.
    with psycopg.connect(pipeline.settings.postgres_url) as postgres, postgres.transaction(force_rollback=True):
        postgres.execute("delete from reconciliation_windows")
        assert overdue(postgres, -1)
        assert not overdue(postgres, 24 * 365)
        postgres.execute(
            """insert into reconciliation_windows
               values (now() - interval '1 day', now() - interval '1 hour', 'event', 0, 0, '0', '0', now(), now())"""
        )
        assert overdue(postgres, -1)
        postgres.execute("update reconciliation_windows set window_end = now() + interval '2 hours'")
        assert not overdue(postgres, -1)
