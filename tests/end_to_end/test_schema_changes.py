"""Changes of the schema while events come: a column, an event type, a metric, a view; no acknowledged event is lost."""

from collections.abc import Iterator
from uuid import uuid4

import dagster as dg
import pytest

from neonblue_pipeline.assets import schema
from neonblue_pipeline.resources import Servers
from neonblue_pipeline.sqlfiles import SqlFile, sql_files
from neonblue_pipeline.verify import verify
from tests.chaos import trial
from tests.chaos.faults import Target
from tests.chaos.load import Load
from tests.end_to_end.journey import Platform
from tests.fix_stack import Stack

pytestmark = pytest.mark.timeout(600)
VIEWS = "clickhouse/131_events_views.sql"


@pytest.fixture
def load(stack: Stack, platform: Platform) -> Iterator[Load]:
    load = Load(stack.settings, 8, 50, users=20)
    load.prepare()
    load.start()
    yield load
    load.stop()


def apply_by_the_asset(monkeypatch: pytest.MonkeyPatch, files: tuple[SqlFile, ...]) -> list[str]:
    """The asset clickhouse_schema, as on a machine whose sql/clickhouse holds these files; what it applied."""
    with monkeypatch.context() as patch:
        patch.setattr(schema, "sql_files", lambda database: files if database == "clickhouse" else sql_files(database))
        run = dg.materialize(
            [schema.clickhouse_schema], resources={"servers": Servers()}, instance=dg.DagsterInstance.ephemeral()
        )
    assert run.success
    [applied] = [
        event.step_materialization_data.materialization.metadata["applied"].value
        for event in run.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey("events_processed")
    ]
    return applied


@pytest.mark.nightly
def test_nothing_is_lost_while_column_event_type_metric_and_view_change_under_the_stream(
    stack: Stack, platform: Platform, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target(stack)
    files = sql_files("clickhouse")
    changed = tuple(SqlFile(f.name, f"{f.text}-- changed\n") if f.name == VIEWS else f for f in files)
    kind, key = f"kind-{uuid4().hex[:8]}", f"changed-{uuid4().hex[:12]}"
    with target.postgres() as postgres:
        postgres.execute("alter table outbox_log add column note text default 'here'")
        try:
            platform.create_experiment(key, metrics=[(kind, "mean")])
            variant = platform.post(f"/v1/experiments/{key}/assignments", {"user_id": key})["variant_key"]
            sent = [
                {"id": str(uuid4()), "user_id": key, "event_type": kind, "properties": {"value": n}} for n in (1, 2)
            ]
            platform.post("/v1/events/batch", {"events": sent})
            assert VIEWS in apply_by_the_asset(monkeypatch, changed)
        finally:
            apply_by_the_asset(monkeypatch, files)
            postgres.execute("alter table outbox_log drop column note")
    load.stop()
    assert load.ledger.acked
    platform.await_events([*load.ledger.acked, *(event["id"] for event in sent)])
    assert trial.count(target, load, load.ledger.snapshot()) == (0, 0, 0)
    platform.refresh()
    [metric] = platform.get(f"/v1/experiments/{key}/results")["metrics"]
    assert {found["variant"]: found["sum"] for found in metric["variants"]}[variant] == 3
    report = verify(target.settings, patience_s=90)
    assert report.ok, report.as_dict()
