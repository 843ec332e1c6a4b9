"""Faults under load on the shared stack: what was acknowledged is counted once. `make chaos` has more of them."""

import json
import os
import subprocess
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from neonblue_pipeline import clickhouse, reconcile
from neonblue_pipeline.arrival import await_arrival
from neonblue_pipeline.replay import replay
from neonblue_pipeline.verify import verify
from tests.chaos import positions, trial
from tests.chaos.faults import FAULTS
from tests.chaos.load import Load
from tests.chaos.target import Target
from tests.chaos.writers import POISON
from tests.end_to_end.journey import Platform
from tests.fix_stack import NEONBLUE, Stack

RATE = 100
SEED = 6
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def target(stack: Stack, platform: Platform) -> Target:
    return Target(stack)


@pytest.fixture(scope="module")
def load(target: Target) -> Iterator[Load]:
    """Events all the time while the tests of this file run; the stack is whole again when it ends."""
    load = Load(target.stack.settings, SEED, RATE, users=40)
    load.prepare()
    load.start()
    yield load
    load.stop()
    target.stack.up()


@pytest.mark.parametrize(
    "name",
    [
        *("interleaved", "kill-kafka-connect", "kill-clickhouse", "kill-api", "cut-before-reply"),
        pytest.param("slot-dropped", marks=pytest.mark.nightly),
        pytest.param("topic-recreated", marks=pytest.mark.nightly),
    ],
)
def test_nothing_acknowledged_is_lost_or_doubled_by(name: str, target: Target, load: Load) -> None:
    outcome = trial.run(target, load, FAULTS[name])
    assert (outcome.lost, outcome.doubled, outcome.invented) == (0, 0, 0)
    assert outcome.acked > 0


def test_a_build_of_rollups_that_was_killed_holds_up_no_other(target: Target, load: Load) -> None:
    """Its place in Dagster's pool is taken until its run is known to be over: others would wait for an hour."""
    positions.kill_rollup(target)
    trial.refresh(target)


@pytest.mark.nightly  # the same without load and commands: tests/integration/pipeline/test_stream.py
def test_the_stream_goes_on_past_messages_that_cannot_be_read_and_keeps_them(target: Target, load: Load) -> None:
    outcome = trial.run(target, load, FAULTS["poison"])
    assert (outcome.lost, outcome.doubled, outcome.invented) == (0, 0, 0)
    listed = json.loads(target.stack.run("dead-letters", "--all", "--json").stdout)
    # ClickHouse's engine passes over those without a value.
    assert len(listed) >= len([message for message in POISON if message])
    assert {letter["reason"] for letter in listed} >= {
        "message is not JSON",
        "envelope tells of no insert",
        "envelope tells of a truncate",
        "event: payload is not JSON",
    }
    waiting = json.loads(target.stack.run("dead-letters", "--json").stdout)
    assert target.stack.run("dead-letters", "--replay").stdout.startswith(f"{len(waiting):,} messages")


@pytest.mark.nightly
def test_rows_lost_behind_a_proof_are_named_and_sent_again(target: Target, load: Load) -> None:
    with (
        psycopg.connect(target.settings.postgres_url, autocommit=True) as postgres,
        clickhouse.connect(target.settings, "test") as server,
    ):
        # The oldest one: what else was accepted with it has long arrived.
        row = postgres.execute(
            """select event_id::text, created_at, created_at + interval '1 ms' from events
               where starts_with(user_id, %s) order by created_at, event_id limit 1""",
            (load.run,),
        ).fetchone()
        assert row is not None
        gone, window = row[0], row[1:]
        databases = reconcile.Databases(postgres, server)
        for table, which in (
            ("events_rows", "toString(id) = {id:String}"),
            ("landing_rows", "position(payload, {id:String}) > 0"),
        ):
            server.command(f"alter table {table} delete where {which}", {"id": gone}, mutations_sync=2)
        found = [w for w in databases.windows(reconcile.PROCESSED, *window, 1) if w.aggregate_type == "event"]
        assert [w.equal for w in found] == [False]
        assert gone in databases.differences(reconcile.PROCESSED, found[0], limit=10**6).missing
    start, until = (moment.isoformat() for moment in window)
    said = target.stack.run("verify", "--from", start, "--to", until, "--wait", "20", "--json", check=False)
    assert said.returncode == 1
    report = json.loads(said.stdout)
    assert any(gone in gap["missing"] for check in report["checks"] for gap in check["gaps"])
    target.stack.run("replay")
    assert gone in trial.final(target, load)
    assert trial.count(target, load, load.ledger.snapshot() & {gone}) == (0, 0, 0)


def test_an_assignment_that_was_taken_back_stays_so_when_its_making_is_sent_again(
    target: Target, platform: Platform
) -> None:
    key = f"taken-back-{uuid4().hex[:12]}"
    platform.create_experiment(key, metrics=[("click", "proportion")])
    platform.post(f"/v1/experiments/{key}/assignments", {"user_id": "someone"})
    assert platform.postgres("select delete_assignment(%s, 'someone')", (key,)) == [("deleted",)]
    made = platform.postgres(
        """select created_at, created_at + interval '1 ms' from outbox_log
           where aggregate_id = %s and event_type = 'ASSIGNMENT_CREATED'""",
        (f"{key}/someone",),
    )[0]
    assert replay(target.settings, *made, types=("assignment",)) == 1
    assert await_arrival(target.settings, 60) is None
    landed = "select count() from landing where aggregate_id = {id:String} and event_type = 'ASSIGNMENT_CREATED'"
    assert platform.clickhouse(landed, id=f"{key}/someone") == [(2,)]
    held = "select count() from assignments_mv where experiment_key = {key:String}"
    assert platform.clickhouse(held, key=key) == [(0,)]


@pytest.mark.nightly
def test_two_replays_at_once_change_nothing(target: Target, load: Load) -> None:
    with target.postgres() as postgres:
        start, until = postgres.execute("select min(created_at), now() from outbox_log").fetchone()  # type: ignore[misc]
    span = ("--from", start.isoformat(), "--to", until.isoformat(), "--json")
    environment = {**os.environ, **target.stack.settings}
    runs = [
        subprocess.Popen([str(NEONBLUE), "replay", *span], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    sent = [json.loads(run.communicate(timeout=120)[0])["rows"] for run in runs]
    assert sent[0] == sent[1] > 0
    with target.postgres() as postgres:
        assert postgres.execute("select count(*) from outbox_replay").fetchone() == (0,)
    report = verify(target.settings, until=until, patience_s=90)
    assert report.ok, report.as_dict()


@pytest.mark.nightly
def test_after_a_fault_every_hop_is_proven_and_the_result_equals_the_events(target: Target) -> None:
    own = Load(target.stack.settings, SEED + 1, RATE, users=20)
    own.prepare()
    own.start()
    try:
        trial.run(target, own, FAULTS["kill-connect-clickhouse"])
        trial.prove(target, own)
    finally:
        own.stop()
