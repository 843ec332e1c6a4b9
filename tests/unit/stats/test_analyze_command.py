"""`neonblue analyze`: files and standard input, tables and JSON, exit codes."""

import json

import pytest
import typer
from typer.testing import CliRunner

from neonblue_local.commands.analyze import analyze

GOOD = {"id": "buyers", "kind": "proportion", "control": {"n": 1000, "sum": 100}, "treatment": {"n": 1100, "sum": 140}}
BAD = {"id": "broken", "kind": "mean", "control": {"n": 0, "sum": 1, "sum_squares": 1}}

app = typer.Typer()
app.command()(analyze)


def run(*arguments: str, text: str | None = None):
    return CliRunner().invoke(app, list(arguments), input=text)


def test_a_file_is_answered_as_json(tmp_path):
    file = tmp_path / "comparisons.json"
    file.write_text(json.dumps([GOOD]))
    result = run(str(file), "--json")
    assert result.exit_code == 0
    (reply,) = json.loads(result.stdout)
    assert reply["id"] == "buyers"
    assert 0 < reply["p_value"] < 1


def test_standard_input_is_answered_as_a_table():
    result = run("-", text=json.dumps(GOOD))
    assert result.exit_code == 0
    assert "buyers" in result.stdout
    assert "+27.27%" in result.stdout


def test_an_error_is_named_on_standard_error_and_in_the_exit_code_while_the_rest_is_answered():
    result = run("-", "--json", text=json.dumps([BAD, GOOD]))
    assert result.exit_code == 1
    broken, fine = json.loads(result.stdout)
    assert broken["field"] == "control.n"
    assert fine["id"] == "buyers"
    assert "comparison 'broken': control.n" in result.stderr
    table = run("-", text=json.dumps([BAD, GOOD]))
    assert table.exit_code == 1
    assert "comparison 'broken': control.n" in table.stdout


@pytest.mark.parametrize("text", ["{not json", "3", "\xff"])
def test_text_that_cannot_be_read_is_exit_code_two(text, tmp_path):
    file = tmp_path / "bad.json"
    file.write_bytes(text.encode("latin-1"))
    result = run(str(file), "--json")
    assert result.exit_code == 2
    assert "bad.json" in result.stderr
    assert result.stdout == ""


def test_a_missing_file_and_a_missing_argument_are_exit_code_two():
    assert run("/no/such/file.json").exit_code == 2
    assert run().exit_code == 2


def test_a_byte_order_mark_is_no_part_of_the_json(tmp_path):
    file = tmp_path / "bom.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert run(str(file), "--json").exit_code == 0


def test_markup_in_an_id_is_printed_as_it_is():
    result = run("-", text=json.dumps({**GOOD, "id": "[red]x[/oops]"}))
    assert "[red]x[/oops]" in result.stdout


def test_the_schema_is_printed_on_request():
    assert json.loads(run("--schema").stdout)["$schema"].startswith("https://json-schema.org")
