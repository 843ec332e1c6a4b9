"""A person is forgotten: no store holds a byte of them, and everything else is as if they had never been there."""

import json
import secrets
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from kafka import KafkaProducer

from tests.end_to_end.fix_bytes import places
from tests.end_to_end.journey import TOPIC, Platform
from tests.fix_stack import Stack

pytestmark = [pytest.mark.timeout(1800), pytest.mark.nightly]

# docs/privacy.md: so long after the request no file holds a byte of the person.
STATED_S = 15 * 60


class Person:
    """Somebody who left something in every store; each trace is a text that nobody else has."""

    def __init__(self) -> None:
        self.id = f"person-{secrets.token_hex(8)}"
        names = ("note", "device", "page", "session", "attribute", "country", "request")
        self.unique = {name: f"{name}-{secrets.token_hex(8)}" for name in names}

    @property
    def needles(self) -> list[bytes]:
        return [text.encode() for text in (self.id, *self.unique.values())]


def _live(platform: Platform, person: Person, key: str, twin: str) -> None:
    """Two experiments with the same other users and events; the person takes part in the first only."""
    for name in (key, twin):
        platform.create_experiment(name, metrics=[("purchase", "mean"), ("click", "proportion")])
    others = {f"other-{n}-{key}": ("control", "new")[n % 2] for n in range(40)}
    made = [
        {"experiment": name, "user_id": user, "variant_key": variant, "attributes": {"country": "DE"}}
        for name in (key, twin)
        for user, variant in others.items()
    ]
    made.append(
        {"experiment": key, "user_id": person.id, "variant_key": "new",
         "attributes": {"country": person.unique["country"]}}
    )  # fmt: skip
    assert platform.post("/v1/assignments/batch", {"assignments": made})["rejected"] == []
    unique = person.unique
    platform.post("/v1/users", {"user_id": person.id, "attributes": {"known as": unique["attribute"]}})
    events: list[dict[str, Any]] = [
        {"id": str(uuid4()), "user_id": user, "event_type": ("click", "purchase")[n % 2],
         "properties": {"value": n * 1.25, "device": "phone"}}
        for n, user in enumerate(others)
    ]  # fmt: skip
    others_events, events = events, [
        {"id": str(uuid4()), "user_id": person.id, "event_type": kind, "session_id": unique["session"],
         "experiment": experiment,
         "properties": {"value": 1000, "note": unique["note"], "device": unique["device"], "page": unique["page"]}}
        for kind in ("click", "purchase", "exposure")
        for experiment in (key, None)
    ]  # fmt: skip
    reply = platform.api.post("/v1/events/batch", json={"events": events}, headers={"X-Request-ID": unique["request"]})
    assert reply.status_code == 202, reply.text
    platform.post("/v1/events/batch", {"events": others_events})
    platform.await_events([event["id"] for event in (*others_events, *events)])
    # An assignment that was taken back, and a message that nobody can read.
    platform.post(f"/v1/experiments/{twin}/assignments", {"user_id": person.id})
    assert platform.api.delete(f"/v1/experiments/{twin}/assignments?user_id={person.id}").status_code == 204
    producer = KafkaProducer(bootstrap_servers=platform.settings["NEONBLUE_KAFKA_BOOTSTRAP"])
    producer.send(TOPIC, value=f'{{"after": {{"user_id": "{person.id}"'.encode(), key=person.id.encode()).get(30)
    producer.close()
    deadline = time.monotonic() + 60
    while not platform.clickhouse("select count() from dead_letters")[0][0]:
        assert time.monotonic() < deadline, "the message became no dead letter"
        time.sleep(0.1)


def _results(stack: Stack, key: str) -> dict[str, Any]:
    """Figures of an experiment, without what names it or says when."""
    found = json.loads(stack.run("results", key, "--json").stdout.replace(key, "x"))
    return {
        name: value for name, value in found.items() if name not in ("as_of", "started_at", "updated_at", "created_at")
    }


@pytest.fixture(scope="module")
def own_stack() -> Any:
    made = Stack()
    try:
        made.up()
        yield made
    finally:
        made.remove()


def test_an_erased_person_is_in_no_file_of_any_store_and_results_are_as_without_them(own_stack: Stack) -> None:
    stack, platform, person = own_stack, Platform(own_stack.settings), Person()
    key, twin = f"a-{secrets.token_hex(4)}", f"b-{secrets.token_hex(4)}"
    _live(platform, person, key, twin)
    platform.refresh()
    with_person = _results(stack, key)

    exported = [json.loads(line) for line in stack.run("privacy", "export", person.id).stdout.splitlines()]
    said = json.dumps(exported, ensure_ascii=False)
    assert all(text in said for text in person.unique.values())
    assert {line["store"] for line in exported[:-1]} >= {
        "postgresql users", "postgresql assignments", "postgresql events", "clickhouse landing",
        "clickhouse events_processed", "clickhouse assignments", "clickhouse user_rollup", "clickhouse user_journeys",
        "clickhouse user_days", "clickhouse variant_sightings",
    }  # fmt: skip
    with psycopg.connect(stack.postgres_url, autocommit=True) as postgres:
        postgres.execute("checkpoint")  # what is only in memory is in no file yet
    before = places(stack.home.root, person.needles)
    # The search sees each of the stores: else it could find nothing in the end.
    for part in ("postgres/base/", "postgres/pg_wal/", "kafka/experiments_events-", "clickhouse/"):
        assert any(path.startswith(part) for path in before), f"nothing of the person in {part}: {sorted(before)}"

    requested = time.monotonic()
    erasure = json.loads(stack.run("privacy", "erase", person.id, "--wait", "--json").stdout)
    seconds = time.monotonic() - requested
    assert erasure["finished_at"]
    left = before
    while left and time.monotonic() - requested < STATED_S:
        time.sleep(5)
        left = places(stack.home.root, person.needles)
    print(f"\nerasure over after {seconds:.0f} s, last byte gone after {time.monotonic() - requested:.0f} s")
    assert left == {}

    verified = stack.run("verify", "--json", check=False)
    assert verified.returncode == 0, verified.stdout
    assert _results(stack, key) == _results(stack, twin) != with_person
    assert platform.postgres("select count(*) from reconciliation_windows where proven_at is null") == [(0,)]

    again = json.loads(stack.run("privacy", "erase", person.id, "--json").stdout)
    assert again == erasure
    late = platform.api.post("/v1/events", json={"user_id": person.id, "event_type": "click"})
    assert (late.status_code, late.json()["code"]) == (422, "user_erased")
    assert places(stack.home.root, person.needles) == {}


def test_a_backup_of_before_is_erased_again_when_it_is_restored(own_stack: Stack, tmp_path: Path) -> None:
    stack, platform, person = own_stack, Platform(own_stack.settings), Person()
    key, twin = f"a-{secrets.token_hex(4)}", f"b-{secrets.token_hex(4)}"
    _live(platform, person, key, twin)
    stack.run("backup", str(tmp_path / "before"))
    stack.run("privacy", "erase", person.id, "--wait")

    stack.run("restore", str(tmp_path / "before"), "--overwrite")
    restored = Platform(stack.settings)
    for table in ("users", "assignments", "events"):
        assert restored.postgres(f"select count(*) from {table} where user_id = %s", (person.id,)) == [(0,)]
    assert restored.clickhouse("select count() from events_rows where user_id = {u:String}", u=person.id) == [(0,)]
    late = restored.api.post("/v1/events", json={"user_id": person.id, "event_type": "click"})
    assert late.json()["code"] == "user_erased"
    assert stack.run("verify", check=False).returncode == 0
