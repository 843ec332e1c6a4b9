"""Every change leaves one entry: who, when, what before and after, by which request."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import httpx
import pytest

from tests.fix_stack import NEONBLUE
from tests.integration.api.fix_api import TOKEN


def _own(client: httpx.Client, token: str) -> httpx.Client:
    return httpx.Client(base_url=client.base_url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)


def _made(client: httpx.Client, name: str, *scopes: str) -> dict:
    reply = client.post("/v1/tokens", json={"name": name, "scopes": list(scopes)})
    assert reply.status_code == 201, reply.text
    return reply.json()


def _entries(client: httpx.Client, **asked: str) -> list[dict]:
    found, cursor = [], None
    while True:
        page = client.get("/v1/audit", params=asked | {"limit": "3"} | ({"cursor": cursor} if cursor else {})).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def test_every_route_that_changes_something_leaves_one_entry_with_its_token_and_request(client, name):
    editor = _made(client, f"{name}-editor", "manage", "read", "ingest")
    began = datetime.now(UTC) - timedelta(seconds=1)
    with _own(client, editor["token"]) as own:
        number = iter(range(100))

        def ask(method: str, path: str, body: object = None) -> httpx.Response:
            headers = {"X-Request-ID": f"{name}-{next(number)}"}
            reply = own.request(method, path, json=body, headers=headers)
            assert reply.is_success, reply.text
            return reply

        metric, experiment = f"/v1/metrics/{name}", f"/v1/experiments/{name}"
        ask("POST", "/v1/metrics", {"key": name, "kind": "proportion", "event_type": "x"})
        ask("PATCH", metric, {"name": "M"})
        ask("POST", "/v1/experiments", {"key": name, "variants": [{"key": "a"}, {"key": "b"}]})
        ask("PATCH", experiment, {"name": "N"})
        ask("POST", f"{experiment}/variants", {"key": "c"})
        ask("PATCH", f"{experiment}/variants/c", {"name": "C"})
        ask("DELETE", f"{experiment}/variants/c")
        ask("POST", f"{experiment}/start")
        ask("POST", f"{experiment}/assignments", {"user_id": "u"})
        ask("DELETE", f"{experiment}/assignments?user_id=u")
        ask("POST", f"{experiment}/phases", {"weights": {"a": 0, "b": 1}, "reason": "r"})
        ask("POST", f"{experiment}/stop")
        ask("POST", f"{experiment}/archive")
        token = ask("POST", "/v1/tokens", {"name": "t", "scopes": ["read"]}).json()["token_id"]
        rotated = ask("POST", f"/v1/tokens/{token}/rotate", {}).json()["token_id"]
        ask("DELETE", f"/v1/tokens/{token}")
    entries = _entries(client, actor=f"{name}-editor")
    assert [(e["request_id"].removeprefix(f"{name}-"), e["action"], e["subject_type"], e["subject"]) for e in entries][
        ::-1
    ] == [
        ("0", "create", "metric", name),
        ("1", "change", "metric", name),
        ("2", "create", "experiment", name),
        ("3", "change", "experiment", name),
        ("4", "add_variant", "experiment", name),
        ("5", "change_variant", "experiment", name),
        ("6", "delete_variant", "experiment", name),
        ("7", "start", "experiment", name),
        ("9", "delete", "assignment", f"{name}/u"),
        ("10", "begin_phase", "experiment", name),
        ("11", "stop", "experiment", name),
        ("12", "archive", "experiment", name),
        ("13", "create", "token", str(token)),
        ("14", "create", "token", str(rotated)),
        ("14", "rotate", "token", str(token)),
        ("15", "revoke", "token", str(token)),
    ]
    assert {e["actor_id"] for e in entries} == {editor["token_id"]}
    of_experiment = [e for e in entries if e["subject_type"] == "experiment"]
    for later, earlier in pairwise(of_experiment):
        assert later["before"] == earlier["after"]
        assert later["before"] != later["after"]
    assert entries[0]["before"]["revoked_at"] is None
    assert entries[0]["after"]["revoked_at"] is not None
    assert "token" not in entries[0]["after"]
    numbers = [e["number"] for e in entries]
    assert numbers == sorted(numbers, reverse=True)
    assert all(began.isoformat() <= e["at"].replace("Z", "+00:00") for e in entries)


def test_a_change_that_was_refused_leaves_no_entry(client, name, draft):
    assert client.post(f"/v1/experiments/{draft}/stop").status_code == 409
    assert client.post("/v1/experiments", json={"key": draft}).status_code == 409
    assert client.patch(f"/v1/experiments/{draft}", json={"name": "x"}, headers={"If-Match": '"99"'}).status_code == 412
    assert [entry["action"] for entry in _entries(client, subject=draft)] == ["create"]


def test_only_the_scope_audit_reads_the_log(client, name):
    for scope, status in (("audit", 200), ("read", 403), ("manage", 403), ("ingest", 403)):
        with _own(client, _made(client, name, scope)["token"]) as own:
            assert own.get("/v1/audit").status_code == status
            if scope == "audit":
                assert own.get("/v1/metrics").status_code == 403


def test_the_log_is_filtered_by_who_what_when_and_request(client, name):
    for n in range(3):
        client.post("/v1/experiments", json={"key": f"{name}-{n}"}, headers={"X-Request-ID": f"{name}-r{n}"})
    (one,) = _entries(client, request_id=f"{name}-r1")
    assert (one["subject"], one["actor"], one["actor_id"]) == (f"{name}-1", "bootstrap", None)
    assert [e["subject"] for e in _entries(client, subject_type="experiment", since=one["at"])][-1] == f"{name}-1"
    assert one["number"] not in {e["number"] for e in _entries(client, subject_type="experiment", until=one["at"])}
    assert _entries(client, action="delete", subject=f"{name}-1") == []
    assert client.get("/v1/audit", params={"since": "yesterday"}).status_code == 422


@pytest.fixture
def command(api_url: str, postgres_url: str, storage_stack):
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        variables = os.environ | {
            "NEONBLUE_API_URL": api_url,
            "NEONBLUE_API_TOKEN": TOKEN,
            "NEONBLUE_HOME": str(storage_stack.home.root),
            "NEONBLUE_POSTGRES_URL": postgres_url,
        }
        return subprocess.run(
            [sys.executable, str(NEONBLUE), *arguments], env=variables, capture_output=True, text=True, check=False
        )

    return run


def test_commands_list_the_log_and_prove_it(client, name, draft, command):
    listed = command("audit", "list", "--subject", draft)
    assert listed.returncode == 0, listed.stderr
    assert f"create experiment  {draft}" in listed.stdout
    found = json.loads(command("audit", "list", "--subject", draft, "--json").stdout)
    assert [(entry["action"], entry["after"]["key"]) for entry in found] == [("create", draft)]
    proven = command("audit", "verify", "--json")
    assert proven.returncode == 0, proven.stdout + proven.stderr
    told = json.loads(proven.stdout)
    assert told["ok"]
    assert told["entries"] >= found[0]["number"]
    assert command("audit", "verify", "--head", told["head"]).returncode == 0
    number, _, digest = told["head"].partition(":")
    forged = command("audit", "verify", "--head", f"{number}:{digest[::-1]}")
    assert (forged.returncode, f"entry {number} is broken" in forged.stdout) == (1, True)


def test_a_token_is_rotated_by_a_command_and_both_work_during_the_overlap(client, name, command):
    old = _made(client, name, "read")
    done = command("tokens", "rotate", str(old["token_id"]), "--overlap-hours", "1", "--json")
    assert done.returncode == 0, done.stderr
    new = json.loads(done.stdout)
    assert (new["replaces"], new["name"], new["scopes"]) == (old["token_id"], name, ["read"])
    for token in (old, new):
        with _own(client, token["token"]) as own:
            assert own.get("/v1/metrics").status_code == 200
