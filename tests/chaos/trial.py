"""One fault under load: strike, wait until all is whole again, hold what was promised against what is there."""

import time
from dataclasses import dataclass

import psycopg
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from neonblue_pipeline import clickhouse
from neonblue_pipeline.verify import verify
from tests.chaos.faults import Fault, Target
from tests.chaos.load import Load

PATIENCE_S = 150


class NotWhole(AssertionError):
    """Something that was acknowledged cannot be queried, or the proof does not hold."""


@dataclass(frozen=True)
class Outcome:
    """What one fault did. Seconds are from the strike; lost and doubled are numbers of events."""

    fault: str
    repair: str
    silent_s: float
    whole_s: float
    acked: int
    lost: int
    doubled: int
    invented: int


def run(target: Target, load: Load, fault: Fault, patience_s: float = PATIENCE_S) -> Outcome:
    """Strikes while `load` runs, repairs by the fault's own command if it has one, and measures."""
    before = len(load.ledger.acked)
    began = time.monotonic()
    fault.strike(target)
    struck = time.monotonic()
    _await(lambda: load.last_ack > struck, "the API acknowledges nothing any more", patience_s)
    silent = load.last_ack - began
    # What was acknowledged up to now, the time of the fault included, must all be there in the end.
    promised = load.ledger.snapshot()
    if fault.cure:
        _cure(target, fault.cure)
    _await(lambda: not promised - final(target, load), "acknowledged events are missing", patience_s)
    whole = time.monotonic() - began
    lost, doubled, invented = count(target, load, promised)
    acked = len(load.ledger.acked) - before
    return Outcome(
        fault.name,
        f"`neonblue {fault.cure}`" if fault.cure else "itself",
        silent,
        whole,
        acked,
        lost,
        doubled,
        invented,
    )


def final(target: Target, load: Load) -> set[str]:
    """The ids of this load that a query of events_processed gives now."""
    with clickhouse.connect(target.settings, "chaos") as server:
        query = "select toString(id) from events_processed where startsWith(user_id, {run:String})"
        return {row[0] for row in server.rows(query, {"run": load.run})}


def count(target: Target, load: Load, promised: set[str]) -> tuple[int, int, int]:
    """Acknowledged events that are missing, ids that a query gives twice, events that nobody sent."""
    with clickhouse.connect(target.settings, "chaos") as server:
        rows = server.rows(
            "select toString(id), count() from events_processed where startsWith(user_id, {run:String}) group by id",
            {"run": load.run},
        )
    there = {row[0] for row in rows}
    return len(promised - there), sum(row[1] > 1 for row in rows), len(there - load.ledger.sent.keys())


def settle(target: Target, load: Load) -> None:
    """After the last fault, with the load stopped: every hop proven, the result equal to the acknowledged events."""
    load.stop()
    _await(lambda: not load.ledger.acked - final(target, load), "acknowledged events are missing", PATIENCE_S)
    target.stack.run("replay")
    refresh(target)
    report = verify(target.settings, patience_s=60)
    told = [gap for check in report.checks if not check.ok for gap in check.gaps]
    assert report.ok, f"not proven: {told}"
    there = final(target, load)
    assert load.ledger.acked <= there <= load.ledger.acked | load.ledger.unknown
    _demand_result(load, there)
    _demand_ledger(target)


def refresh(target: Target) -> None:
    """Rollups, results and reconciliation, by the Dagster job."""
    import os
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "neonblue_pipeline.materialize", "refresh"],
        env={**os.environ, **target.stack.settings, "NEONBLUE_RECONCILIATION_WINDOW_MINUTES": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


def _demand_result(load: Load, there: set[str]) -> None:
    """The published result against sums over the events themselves. Events before the assignment do not count."""
    with load.client() as api:
        answer = api.get(f"/v1/experiments/{load.run}/results")
        assert answer.status_code == 200, answer.text
    clicked: dict[str, set[str]] = {"control": set(), "new": set()}
    spent = {"control": 0.0, "new": 0.0}
    for event_id in there:
        event = load.ledger.sent[event_id]
        assigned_at = load.assigned_at[event["user_id"]]
        if event.get("timestamp", assigned_at) < assigned_at:
            continue
        variant = load.variants[event["user_id"]]
        if event["event_type"] == "click":
            clicked[variant].add(event["user_id"])
        elif event["event_type"] == "purchase":
            spent[variant] += event["properties"]["value"]
    expected = {
        "proportion": {variant: float(len(users)) for variant, users in clicked.items()},
        "mean": spent,
    }
    found = {
        metric["kind"]: {variant["variant"]: variant["sum"] for variant in metric["variants"]}
        for metric in answer.json()["metrics"]
    }
    assert found == expected, f"published {found}, counted {expected}"


def _demand_ledger(target: Target) -> None:
    with target.postgres() as postgres:
        unproven = postgres.execute(
            "select window_start, aggregate_type from reconciliation_windows where proven_at is null"
        ).fetchall()
    assert not unproven, f"windows of the ledger that are not proven: {unproven}"


def _cure(target: Target, command: str) -> None:
    # A server that was just killed may not answer yet.
    for attempt in Retrying(wait=wait_fixed(2), stop=stop_after_delay(PATIENCE_S), reraise=True):
        with attempt:
            done = target.stack.run(command, check=False)
            assert done.returncode == 0, f"neonblue {command}: {done.stdout}{done.stderr}"


def _await(condition, what: str, seconds: float) -> None:  # type: ignore[no-untyped-def]
    from clickhouse_connect.driver.exceptions import ClickHouseError

    def demand() -> None:
        if not condition():
            raise NotWhole(f"{what} for {seconds:.0f} s")

    for attempt in Retrying(
        retry=retry_if_exception_type((NotWhole, ClickHouseError, psycopg.OperationalError, OSError)),
        wait=wait_fixed(0.25),
        stop=stop_after_delay(seconds),
        reraise=True,
    ):
        with attempt:
            demand()
