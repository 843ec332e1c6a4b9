"""The command line against the whole running stack, as a person and as a program."""

import json
import subprocess
import sys
from uuid import uuid4

import httpx

from neonblue_local.parts import PARTS
from neonblue_local.parts.dagster import graphql
from neonblue_local.supervision import Supervisor
from tests.fix_stack import Stack


def test_every_stage_answers_and_says_how_far_behind_it_is(stack: Stack) -> None:
    result = stack.run("status", "--json", check=False)
    found = json.loads(result.stdout)
    assert [stage for stage in found["stages"] if not stage["ok"]] == []
    assert found["ok"] is True
    assert result.returncode == 0
    units = {stage["stage"]: stage["unit"] for stage in found["stages"]}
    assert units["replication slot"] == "bytes of unread WAL"
    assert units["ClickHouse consumer"] == "messages"
    assert units["rollups"] == "s"


def test_doctor_finds_nothing_on_a_running_stack(stack: Stack) -> None:
    result = stack.run("doctor", "--json", check=False)
    assert [finding for finding in json.loads(result.stdout)["findings"] if finding["problem"]] == []
    assert result.returncode == 0


def test_up_again_restarts_no_part(stack: Stack) -> None:
    supervisor = Supervisor(stack.home)
    before = {name: supervisor.info(part).pid for name, part in PARTS.items()}
    stack.up()
    assert {name: supervisor.info(part).pid for name, part in PARTS.items()} == before


def test_results_of_an_experiment_that_does_not_exist_are_an_error_that_names_it(stack: Stack) -> None:
    key = f"absent_{uuid4().hex[:8]}"
    result = stack.run("results", key, check=False)
    assert result.returncode == 1
    assert key in result.stderr


def test_results_that_were_never_computed_are_the_same_for_a_person_a_program_and_the_api(stack: Stack) -> None:
    key = f"cli_{uuid4().hex[:8]}"
    variants = [{"key": "a", "weight": 0.5, "is_control": True}, {"key": "b", "weight": 0.5}]
    headers = {"Authorization": f"Bearer {stack.api_token}"}
    with httpx.Client(base_url=stack.api_url, headers=headers, trust_env=False, timeout=30) as client:
        metric = client.post("/v1/metrics", json={"key": key, "kind": "proportion", "event_type": "click"})
        assert metric.status_code == 201, metric.text
        experiment = {"key": key, "name": "Command line", "variants": variants, "metrics": [key]}
        made = client.post("/v1/experiments", json=experiment)
        assert made.status_code == 201, made.text
        answer = client.get(f"/v1/experiments/{key}/results")
    assert answer.status_code == 200, answer.text
    program = json.loads(stack.run("results", key, "--json").stdout)
    assert program["experiment"] == key
    assert set(program) == {"experiment", "status", "as_of", "sample_ratio", "metrics", "decisions", "warnings"}
    assert program == answer.json()
    person = stack.run("results", key).stdout
    assert key in person
    assert "None" not in person


def test_the_settings_of_env_lead_a_shell_to_the_stack(stack: Stack) -> None:
    lines = stack.run("env").stdout
    shell = subprocess.run(
        ["sh", "-c", f'{lines}\n"{sys.executable}" -m neonblue_pipeline.setup --check'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shell.returncode == 0, shell.stdout + shell.stderr


def test_dagster_loads_the_pipeline_from_one_code_server(stack: Stack) -> None:
    query = "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"
    entries = graphql(stack.settings, query)["workspaceOrError"]["locationEntries"]
    assert entries == [{"name": "neonblue", "loadStatus": "LOADED"}]
