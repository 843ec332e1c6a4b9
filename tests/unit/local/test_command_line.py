"""The command line as a person or a program meets it, without a running stack."""

import io
import os
import subprocess
from pathlib import Path

import pytest
from rich.console import Console
from typer.main import get_command

from neonblue_local import environment
from neonblue_local.cli import commands
from neonblue_local.commands.look import print_results
from neonblue_local.home import Home
from tests.fix_stack import NEONBLUE, SETTINGS_OF_A_STACK

COMMANDS = get_command(commands).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself_by_an_example(name: str) -> None:
    text = COMMANDS[name].help
    assert f"neonblue {name}" in text


def test_commands_stand_in_the_order_of_use() -> None:
    order = [name for name in COMMANDS if name in ("up", "demo", "status", "results", "down", "reset")]
    assert order == ["up", "demo", "status", "results", "down", "reset"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["status"], 1, "no stack in"),
        (["results", "cookie_cats"], 1, "no stack in"),
        (["verify"], 1, "no stack in"),
        (["env"], 1, "start one with `neonblue up`"),
        (["logs", "kafka"], 1, "no log of 'kafka'"),
        (["up", "--only", "oracle"], 1, "part 'oracle' does not exist"),
        (["down"], 0, "nothing runs in"),
        (["reset", "--yes"], 0, "nothing to delete"),
        (["ip"], 2, "No such command"),
    ],
)
def test_without_a_stack_a_command_says_what_to_do(arguments: list[str], code: int, said: str, tmp_path: Path) -> None:
    result = run(tmp_path, *arguments)
    assert result.returncode == code, result.stderr
    assert said in result.stdout + result.stderr
    assert not (tmp_path / ".neonblue").exists()


@pytest.mark.parametrize("arguments", [["verify"], ["dead-letters"], ["status"], ["prune"], ["backup", "kept"]])
def test_on_a_stack_that_is_stopped_a_command_says_how_to_start_it(arguments: list[str], tmp_path: Path) -> None:
    home = Home(tmp_path / ".neonblue", 21000)
    home.create()
    environment.create(home)
    result = run(tmp_path, *arguments)
    assert result.returncode == 1
    assert f"nothing runs in {home.root}; `neonblue up` starts it" in result.stdout + result.stderr


def test_psql_is_given_the_password_where_ps_does_not_show_it(tmp_path: Path) -> None:
    client = tmp_path / "psql"
    client.write_text('#!/bin/sh\necho "$PGPASSWORD" "$@"\n')
    client.chmod(0o755)
    url = "postgresql://neonblue:a%2Fsecret@db.example.org:5432/experiments?sslmode=verify-full"
    found = run(tmp_path, "psql", "-c", "select 1", NEONBLUE_POSTGRES_URL=url, PATH=f"{tmp_path}:/usr/bin:/bin")
    address = "postgresql://neonblue@db.example.org:5432/experiments?sslmode=verify-full"
    assert found.stdout == f"a/secret {address} -c select 1\n"


def test_reset_deletes_no_folder_that_is_not_a_stack(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("\\chapter{One}")
    result = run(tmp_path, "reset", "--yes", NEONBLUE_HOME=str(tmp_path))
    assert result.returncode == 1
    assert "is no state folder" in result.stderr
    assert (tmp_path / "thesis.tex").exists()


def test_results_show_figures_intervals_and_the_split() -> None:
    effect = {"estimate": -0.0082, "low": -0.0133, "high": -0.0031, "p_value": 0.00156}
    shown = _shown(
        variants=[
            {"variant": "gate_30", "control": True, "users": 44700, "sum": 8502, "mean": 0.1902},
            {"variant": "gate_40", "control": False, "users": 45489, "sum": 8279, "mean": 0.1820}
            | {"absolute": effect, "relative": effect},
        ],
        ratio={"counts": {"gate_30": 44700, "gate_40": 45489}, "p_value": 0.0086, "mismatch": False},
    )
    for text in ("gate_30 (control)", "44,700", "-0.0082", "[-0.0133, -0.0031]", "[-1.33%, -0.31%]", "0.0016"):
        assert text in shown
    assert "split: 44,700 gate_30, 45,489 gate_40; as planned (sample ratio p = 0.0086)" in shown


def test_results_that_are_undefined_are_dashes_and_a_mismatch_is_said() -> None:
    nothing = {"estimate": None, "low": None, "high": None, "p_value": None}
    shown = _shown(
        variants=[
            {"variant": "a", "control": True, "users": None, "sum": None, "mean": None},
            {"variant": "b", "control": False, "users": 0, "sum": None, "mean": None}
            | {"absolute": nothing, "relative": nothing},
        ],
        ratio={"counts": {"a": 10, "b": 90}, "p_value": 1e-9, "mismatch": True},
        warnings=["metric retention_7 was never measured"],
    )
    assert "None" not in shown
    assert "do not trust the result (sample ratio p < 0.0001)" in shown
    assert "warning: metric retention_7 was never measured" in shown


def test_results_show_the_level_of_a_quantile_and_the_steps_of_a_funnel() -> None:
    effect = {"estimate": 0.02, "low": 0.01, "high": 0.03, "p_value": 0.004}
    steps = [
        {"event_type": "view", "users": 60, "of_all": 0.6, "of_previous": 0.6},
        {"event_type": "[/buy] [red]", "users": 15, "of_all": 0.15, "of_previous": 0.25},
    ]
    quantile = {"quantile": 0.9, "n": 900, "value": 231.5, "low": 220.0, "high": 240.0}
    shown = _shown(
        variants=[
            {"variant": "a", "control": True, "users": 100, "sum": 1, "mean": 7, "funnel": steps, "quantile": quantile},
            {"variant": "b", "control": False, "users": 100, "sum": 1, "mean": 7}
            | {"absolute": effect, "relative": effect, "quantile": quantile}
            | {"funnel": [step | {"absolute": effect, "absolute_of_previous": effect} for step in steps]},
        ],
        ratio={"counts": {"a": 100, "b": 100}, "p_value": 1.0, "mismatch": False},
    )
    for text in ("p90 231.5", "view", "60.00%", "[/buy] [red]", "25.00%", "[+0.01, +0.03]"):
        assert text in shown


def run(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A command of `neonblue` in this folder, with no setting but these."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS_OF_A_STACK)}
    return subprocess.run(
        [str(NEONBLUE), *arguments],
        cwd=folder,
        env={**clean, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def _shown(*, variants: list[dict], ratio: dict, warnings: list[str] | None = None) -> str:
    output = io.StringIO()
    found = {
        "experiment": "cookie_cats",
        "status": "running",
        "as_of": "2026-01-31T23:59:59.123456Z",
        "sample_ratio": ratio,
        "metrics": [{"metric": "retention_7", "kind": "proportion", "variants": variants}],
        "warnings": warnings or [],
    }
    print_results(Console(file=output, width=160), found)
    return output.getvalue()
