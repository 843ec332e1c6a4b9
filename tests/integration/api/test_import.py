"""`neonblue import` and `neonblue tokens` against a running API."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.api.fix_api import NOBODY, TOKEN, served_api


@pytest.fixture
def neonblue(api_url, tmp_path):
    def run(*arguments: str, api: str = api_url) -> "subprocess.CompletedProcess[str]":
        own = {"NEONBLUE_API_URL": api, "NEONBLUE_API_TOKEN": TOKEN, "NEONBLUE_HOME": str(tmp_path / "none")}
        command = [str(Path(sys.executable).with_name("neonblue")), *arguments]
        return subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=False, cwd=tmp_path)

    return run


def _counts(done: "subprocess.CompletedProcess[str]") -> dict:
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_assignments_of_a_csv_are_recorded_and_bad_rows_told(neonblue, running, client, tmp_path):
    file = tmp_path / "players.csv"
    file.write_text("player,version,note\n17,a,x\n18,b,y\n19,nope,z\n20,a\n", encoding="utf-8-sig")
    arguments = ["import", "assignments", str(file), "--map", "player=user_id", "--map", "version=variant_key"]
    arguments += ["--set", f"experiment={running}", "--json"]
    refused = neonblue(*arguments)
    assert refused.returncode == 1
    assert "note" in refused.stderr
    done = neonblue(*arguments, "--rest", "keep")
    assert done.returncode == 1
    assert _counts(done) == {"rows": 4, "accepted": 2, "duplicates": 0, "rejected": 2}
    rejected = [json.loads(line) for line in (tmp_path / "players.csv.rejected.ndjson").read_text().splitlines()]
    assert [(line["row"], line["code"]) for line in rejected] == [(3, "unknown_variant"), (4, "unreadable_row")]
    listed = client.get(f"/v1/experiments/{running}/assignments").json()["items"]
    assert [(item["user_id"], item["attributes"]) for item in listed] == [("17", {"note": "x"}), ("18", {"note": "y"})]


def test_events_of_a_file_are_known_when_it_is_imported_again(neonblue, name, client, tmp_path):
    file = tmp_path / "clicks.ndjson"
    lines = [{"uid": name, "kind": "buy", "price": 9007199254740993 + n, "plan": "ü"} for n in range(25)]
    file.write_text("\n".join(json.dumps(line) for line in lines))
    arguments = ["import", "events", str(file), "--map", "uid=user_id", "--map", "kind=event_type"]
    arguments += ["--map", "price=properties.value", "--rest", "keep", "--batch", "10", "--json"]
    assert _counts(neonblue(*arguments)) == {"rows": 25, "accepted": 25, "duplicates": 0, "rejected": 0}
    assert _counts(neonblue(*arguments)) == {"rows": 25, "accepted": 0, "duplicates": 25, "rejected": 0}
    stored = client.get("/v1/events", params={"user_id": name}).json()["items"]
    assert sorted(event["properties"]["value"] for event in stored) == [line["price"] for line in lines]
    assert {event["properties"]["plan"] for event in stored} == {"ü"}


def test_an_id_that_is_null_is_one_that_is_left_out(neonblue, name, tmp_path):
    file = tmp_path / "nulls.ndjson"
    file.write_text(json.dumps({"user_id": name, "event_type": "x", "id": None}) + "\n")
    assert [_counts(neonblue("import", "events", str(file), "--json"))["accepted"] for _ in range(2)] == [1, 0]


def test_an_import_waits_where_the_api_asks_for_it(neonblue, postgres_url, name, tmp_path):
    (tmp_path / "users.csv").write_text("user_id\n" + "\n".join(f"{name}-{n}" for n in range(4)))
    line = json.dumps({"key": name, "variants": [{"key": "a"}, {"key": "b"}]})
    (tmp_path / "experiments.ndjson").write_text("\n".join([line] * 3))
    with served_api(postgres_url, NOBODY, NEONBLUE_RATE_LIMITS="*=2/second") as (url, _):
        users = neonblue("import", "users", "users.csv", "--json", api=url)
        experiments = neonblue("import", "experiments", "experiments.ndjson", "--json", api=url)
    assert _counts(users) == {"rows": 4, "accepted": 4, "duplicates": 0, "rejected": 0}
    assert _counts(experiments) == {"rows": 3, "accepted": 1, "duplicates": 2, "rejected": 0}


def test_an_import_goes_on_where_it_was_cut_off(neonblue, name, tmp_path):
    file = tmp_path / "events.csv"
    bad = "y" * 129
    rows = [f"{name},{bad if n in (3, 33) else 'x'}" for n in range(40)]
    file.write_text("user_id,event_type\n" + "\n".join(rows) + "\n")
    arguments = ["import", "events", str(file), "--batch", "10", "--json"]
    assert _counts(neonblue(*arguments)) == {"rows": 40, "accepted": 38, "duplicates": 0, "rejected": 2}
    progress = tmp_path / "events.csv.import-progress.json"
    assert not progress.exists()
    from rich.console import Console

    from neonblue_local.commands.import_ import _Import
    from neonblue_local.importing.mapping import KINDS, Mapping

    run_id = _Import(file, "csv", Mapping(KINDS["events"]), 10, None, Console()).run_id
    progress.write_text(json.dumps({"run": run_id, "rows": 20, "accepted": 19, "duplicates": 0, "rejected": 1}))
    assert _counts(neonblue(*arguments)) == {"rows": 40, "accepted": 19, "duplicates": 19, "rejected": 2}
    progress.write_text(json.dumps({"run": "of another file", "rows": 20}))
    assert _counts(neonblue(*arguments))["duplicates"] == 38


def test_parquet_keeps_times_decimals_and_big_numbers(neonblue, name, client, tmp_path):
    from datetime import UTC, datetime
    from decimal import Decimal

    import pyarrow
    import pyarrow.parquet

    at = datetime(2026, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)
    table = pyarrow.table(
        {
            "user_id": [name],
            "event_type": ["buy"],
            "timestamp": pyarrow.array([at], pyarrow.timestamp("us", tz="Europe/Vienna")),
            "value": [Decimal("12345678901234567890.12")],
            "n": [2**53 + 1],
            "empty": pyarrow.array([None], pyarrow.string()),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "e.parquet")
    done = neonblue("import", "events", "e.parquet", "--map", "value=properties.value", "--rest", "keep", "--json")
    assert _counts(done)["accepted"] == 1, done.stderr
    text = client.get("/v1/events", params={"user_id": name}).text
    assert '"timestamp":"2026-06-01T12:00:00.123456Z"' in text
    assert "12345678901234567890.12" in text
    assert str(2**53 + 1) in text


def test_what_a_parquet_file_holds_and_json_does_not_is_refused_row_by_row(neonblue, name, client, tmp_path):
    import pyarrow
    import pyarrow.parquet

    whole = 1_780_000_000_000_000_000
    columns = {
        "user_id": [f"{name}-{n}" for n in range(5)],
        "event_type": ["buy"] * 5,
        "timestamp": pyarrow.array([whole, whole + 1, whole, whole, whole], pyarrow.timestamp("ns", tz="UTC")),
        "raw": pyarrow.array([None, None, b"\xff", None, None], pyarrow.binary()),
        "ratio": [1.5, 1.5, 1.5, float("inf"), float("nan")],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "odd.parquet")
    done = neonblue("import", "events", "odd.parquet", "--rest", "keep", "--json")
    assert _counts(done) == {"rows": 5, "accepted": 2, "duplicates": 0, "rejected": 3}
    rejected = [json.loads(line) for line in (tmp_path / "odd.parquet.rejected.ndjson").read_text().splitlines()]
    assert [line["row"] for line in rejected] == [2, 3, 4]
    assert all(said in line["message"] for line, said in zip(rejected, ("micro", "bytes", "infinite"), strict=True))
    (last,) = client.get("/v1/events", params={"user_id": f"{name}-4"}).json()["items"]
    assert (last["properties"], last["timestamp"]) == ({}, "2026-05-28T20:26:40.000000Z")


def test_users_and_experiments_are_imported_one_by_one(neonblue, name, client, tmp_path):
    (tmp_path / "users.csv").write_text(f"user_id,plan\n{name}-1,pro\n{name}-2,\n")
    arguments = ["import", "users", "users.csv", "--map", "plan=attributes.plan", "--json"]
    assert _counts(neonblue(*arguments)) == {"rows": 2, "accepted": 2, "duplicates": 0, "rejected": 0}
    assert _counts(neonblue(*arguments))["duplicates"] == 2
    assert client.get(f"/v1/users/{name}-1").json()["attributes"] == {"plan": "pro"}
    line = {"key": name, "variants": [{"key": "a"}, {"key": "b"}]}
    (tmp_path / "experiments.ndjson").write_text(json.dumps(line) + "\n" + json.dumps(line))
    done = neonblue("import", "experiments", "experiments.ndjson", "--json")
    assert _counts(done) == {"rows": 2, "accepted": 1, "duplicates": 1, "rejected": 0}
    (tmp_path / "others.ndjson").write_text(json.dumps(line | {"variants": [{"key": "a"}, {"key": "c"}]}))
    done = neonblue("import", "experiments", "others.ndjson", "--json")
    assert _counts(done) == {"rows": 1, "accepted": 0, "duplicates": 0, "rejected": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cats", "f.csv"], "cats"),
        (["events", "none.csv"], "none.csv"),
        (["events", "f.txt"], "--format"),
        (["events", "f.csv", "--map", "a=colour"], "colour"),
        (["events", "f.csv", "--map", "a"], "NAME=VALUE"),
        (["events", "f.csv", "--rest", "maybe"], "maybe"),
        (["experiments", "f.csv", "--rest", "keep"], "drop"),
    ],
)
def test_what_cannot_be_imported_is_one_message(neonblue, tmp_path, arguments, said):
    (tmp_path / "f.csv").write_text("a,b\n1,2\n")
    (tmp_path / "f.txt").write_text("")
    done = neonblue("import", *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_tokens_are_made_listed_and_revoked(neonblue, name):
    made = json.loads(neonblue("tokens", "create", name, "--scope", "read", "--days", "3", "--json").stdout)
    assert made["token"].startswith("nb_")
    listed = json.loads(neonblue("tokens", "list", "--json").stdout)
    (found,) = [token for token in listed if token["name"] == name]
    assert (found["scopes"], found["revoked_at"]) == (["read"], None)
    assert neonblue("tokens", "revoke", str(made["token_id"])).returncode == 0
    listed = json.loads(neonblue("tokens", "list", "--json").stdout)
    assert [token["revoked_at"] is not None for token in listed if token["name"] == name] == [True]
    refused = neonblue("tokens", "revoke", "999999999")
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    assert neonblue("tokens", "create", name, "--scope", "root").returncode == 1


def test_names_are_listed_as_they_were_given(neonblue, client, name):
    given = f"[/x] [red]{name[:12]}"
    made = client.post("/v1/tokens", json={"name": given, "scopes": ["manage"]}).json()
    asked = {"Authorization": f"Bearer {made['token']}"}
    assert client.post("/v1/privacy/erasures", json={"user_id": name}, headers=asked).status_code == 202
    for command in (("tokens", "list"), ("privacy", "erasures")):
        listed = neonblue(*command)
        assert listed.returncode == 0, listed.stderr
        assert "[/x]" in listed.stdout
        assert "[red]" in listed.stdout
