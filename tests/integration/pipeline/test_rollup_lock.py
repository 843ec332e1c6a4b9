"""The lock of the rollups: its holder is the only one that writes them, changes their tables, thins results."""

import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import pytest

from neonblue_pipeline import ledger, rollup
from neonblue_pipeline.assets import schema, upkeep
from neonblue_pipeline.resources import Servers
from tests.integration.pipeline.conftest import NotYet, Pipeline, eventually

pytestmark = pytest.mark.usefixtures("no_daemon")
# An insert of ten seconds, a row in each block.
BUILDER = """
from neonblue_pipeline import rollup
from neonblue_pipeline.settings import read_settings

with rollup.lock(read_settings(), "tests") as clickhouse:
    clickhouse.command("insert into outlived select number + sleepEachRow(0.1) from numbers(100)", max_block_size=1)
"""
# Makes a table if it is missing, and nothing else.
HARMLESS = "clickhouse/295_raw_events_dropped.sql"


@pytest.fixture
def builder(pipeline: Pipeline) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that holds the lock and is at its insert."""
    pipeline.server.command("create table outlived (number UInt64) engine = MergeTree order by number")
    process = subprocess.Popen([sys.executable, "-c", BUILDER])
    await_insert(pipeline)
    yield process
    process.kill()
    process.wait()
    pipeline.server.command("drop table outlived sync")


@eventually
def await_insert(pipeline: Pipeline) -> None:
    if inserts_at_work(pipeline) == 0:
        raise NotYet("the builder is not at its insert")


def inserts_at_work(pipeline: Pipeline) -> int:
    query = "select count() from system.processes where query_kind = 'Insert' and query like '%into outlived%'"
    return int(pipeline.clickhouse(query)[0][0])


def errors_of(asset: dg.AssetsDefinition) -> list[str]:
    """Materialises it once; what its step failed with, nothing if it did not."""
    run = dg.materialize(
        [asset],
        resources={"servers": Servers()},
        instance=dg.DagsterInstance.ephemeral(),
        run_config={"execution": {"config": {"retries": {"disabled": {}}}}},
        raise_on_error=False,
    )
    return [
        event.step_failure_data.error.cause.cls_name
        for event in run.all_events
        if event.is_step_failure and event.step_failure_data.error and event.step_failure_data.error.cause
    ]


def errors_beside_a_build(pipeline: Pipeline, asset: dg.AssetsDefinition, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As `errors_of`, while somebody builds for longer than the asset waits."""
    with rollup.lock(pipeline.settings, "tests"), monkeypatch.context() as patch:
        patch.setattr(rollup, "_PATIENCE_S", 1)
        return errors_of(asset)


def test_what_a_killed_builder_left_at_work_is_ended_before_the_next_one_writes(
    pipeline: Pipeline, builder: "subprocess.Popen[bytes]"
) -> None:
    builder.kill()
    builder.wait()
    assert inserts_at_work(pipeline) == 1
    with rollup.lock(pipeline.settings, "tests") as clickhouse:
        assert inserts_at_work(pipeline) == 0
        clickhouse.command("insert into outlived values (7)")
        assert clickhouse.rows("select number from outlived") == [(7,)]


def test_tables_change_while_nobody_builds_and_a_setup_without_changes_waits_for_nobody(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_applied() -> bool:
        with ledger.clickhouse_schema(pipeline.settings, "tests") as known:
            return HARMLESS in known.applied()

    with ledger.clickhouse_schema(pipeline.settings, "tests") as known:
        known.forget([HARMLESS])
    assert errors_beside_a_build(pipeline, schema.clickhouse_schema, monkeypatch) == ["RollupBusy"]
    assert not is_applied()
    assert errors_of(schema.clickhouse_schema) == []
    assert is_applied()
    assert errors_beside_a_build(pipeline, schema.clickhouse_schema, monkeypatch) == []


def test_cut_offs_are_thinned_while_nobody_writes_results(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    assert errors_beside_a_build(pipeline, upkeep.thinned_cutoffs, monkeypatch) == ["RollupBusy"]
    assert errors_of(upkeep.thinned_cutoffs) == []
