"""The code location as Dagster loads it, and the connector's definition: without any server."""

import subprocess
import sys

import dagster as dg
import pytest

from neonblue_pipeline import connector, jobs, materialize, schedules
from neonblue_pipeline.definitions import defs
from neonblue_pipeline.errors import SettingsMissing
from neonblue_pipeline.settings import Settings, read_settings

IMPORT_WITHOUT_NETWORK = """
import socket
def refuse(*arguments): raise AssertionError(f"a connection was opened: {arguments}")
socket.socket.connect = refuse
import neonblue_pipeline.definitions
"""
IMPORT_WITHOUT_STATISTICS = """
import sys
import neonblue_pipeline.definitions
assert "scipy" not in sys.modules, "each process of Dagster would import it for seconds"
"""


def test_importing_the_code_location_opens_no_connection_and_needs_no_settings() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_WITHOUT_NETWORK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_code_location_leaves_scipy_to_the_steps_that_compute() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_WITHOUT_STATISTICS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_asset_graph_leads_from_the_outbox_to_the_results() -> None:
    graph = defs.resolve_asset_graph()

    def upstream(name: str) -> set[str]:
        found = {key.to_user_string() for key in graph.get(dg.AssetKey(name)).parent_keys}
        return found.union(*(upstream(parent) for parent in found))

    way = {"events", "outbox_events", "publication", "connector", "raw_events_kafka", "landing", "events_processed"}
    assert way | {"user_rollup", "assignments_mv"} <= upstream("experiment_results")


def test_results_of_all_experiments_are_made_once_a_day_and_by_refresh_and_else_of_those_that_changed() -> None:
    (daily,) = schedules.daily.evaluate_tick(dg.build_schedule_context()).run_requests or ()
    configs = {
        jobs.daily.name: daily.run_config,
        jobs.refresh.name: defs.resolve_job_def(jobs.refresh.name).run_config,
        jobs.live.name: {},  # its schedule tells none
    }
    found = {
        name: dg.validate_run_config(defs.resolve_job_def(name), config)["ops"]["rollups"]["config"]["of_all"]
        for name, config in configs.items()
    }
    assert found == {"daily": True, "refresh": True, "live": False}


def test_every_schedule_and_sensor_runs_from_the_start() -> None:
    repository = defs.get_repository_def()
    assert {s.name: s.default_status for s in repository.schedule_defs} == dict.fromkeys(
        ("live_rollups", "hourly_reconciliation", "daily_upkeep", "canary"), dg.DefaultScheduleStatus.RUNNING
    )
    assert {s.name: s.default_status for s in repository.sensor_defs} == dict.fromkeys(
        ("alarms", "connector_state", "broken_stream", "open_erasures"), dg.DefaultSensorStatus.RUNNING
    )


def test_builds_of_rollups_take_at_most_a_fifth_of_the_time() -> None:
    started_at, ended_at = 1000.0, 1030.0
    assert schedules.rest_left_s(started_at, ended_at, now=1149.0) == 1.0
    assert schedules.rest_left_s(started_at, ended_at, now=1151.0) < 0.0


def test_no_asset_is_partitioned_by_experiment_or_by_anything() -> None:
    graph = defs.resolve_asset_graph()
    assert not [key for key in graph.get_all_asset_keys() if graph.get(key).partitions_def is not None]


def test_missing_settings_are_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEONBLUE_POSTGRES_URL", raising=False)
    with pytest.raises(SettingsMissing, match=r"NEONBLUE_POSTGRES_URL: field required.*neonblue env"):
        read_settings()


@pytest.mark.parametrize("url", ["http://u:p@c:8123/?compress=lz5", "http://u:p@c:8123/events", "c:8123"])
def test_a_url_of_clickhouse_that_says_more_or_less_than_a_server_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEONBLUE_CLICKHOUSE_URL", url)
    with pytest.raises(SettingsMissing, match=r"NEONBLUE_CLICKHOUSE_URL: .*must have the form http://user:password@"):
        read_settings()


def test_the_connector_takes_passwords_with_any_character_literally() -> None:
    settings = Settings(
        postgres_url="postgresql://owner:%22%5C%24%7Bx%7D@db:5433/experiments",
        clickhouse_url="http://c",
        kafka_bootstrap="k:1",
        connect_url="http://c",
        connect_postgres_password=None,
    )
    wanted = connector.definition(settings)
    assert wanted["database.password"] == '"\\${x}'
    assert (wanted["database.hostname"], wanted["database.port"]) == ("db", "5433")
    assert wanted["transforms.key.type"].endswith("ExtractField$Key")


def test_the_command_that_runs_a_job_names_all_of_them(capsys):
    with pytest.raises(SystemExit):
        materialize.main(["--help"])
    assert f"{{{','.join(job.name for job in jobs.ALL)}}}" in "".join(capsys.readouterr().out.split())
