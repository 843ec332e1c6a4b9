"""One fault under load: strike, wait until all is whole again, hold what was promised against what is there."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass

import psycopg
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from neonblue_pipeline import clickhouse
from neonblue_pipeline.verify import verify
from tests.chaos import recomputed
from tests.chaos.faults import Fault
from tests.chaos.load import Load
from tests.chaos.target import Target
from tests.fix_alarm_receiver import Receiver

PATIENCE_S = 150


class NotWhole(AssertionError):
    """Something that was acknowledged cannot be queried, or the proof does not hold."""


@dataclass(frozen=True)
class Outcome:
    """What one fault did. Seconds are from the strike; lost, doubled and invented are numbers of events.

    alarm_s: until the first message of something broken; None if none came.
    """

    fault: str
    repair: str
    silent_s: float
    whole_s: float
    alarm_s: float | None
    acked: int
    lost: int
    doubled: int
    invented: int


def run(
    target: Target, load: Load, fault: Fault, patience_s: float = PATIENCE_S, alarms: Receiver | None = None
) -> Outcome:
    """Strikes while `load` runs, repairs by the fault's own command if it has one, and measures."""
    target.load = load
    before = len(load.ledger.acked)
    began = time.monotonic()
    fault.strike(target)
    struck = time.monotonic()
    _await(lambda: load.last_ack > struck, "the API acknowledges nothing any more", patience_s)
    silent = load.last_ack - struck
    # What was acknowledged up to now, the time of the fault included, must all be there in the end.
    promised = load.ledger.snapshot()
    if fault.cure:
        _cure(target, fault.cure)
    await_all(target, load, promised, patience_s)
    whole = time.monotonic() - began
    lost, doubled, invented = count(target, load, promised)
    return Outcome(
        fault.name,
        f"`neonblue {fault.cure}`" if fault.cure else "itself",
        silent,
        whole,
        alarms.first_alarm(began) if alarms else None,
        len(load.ledger.acked) - before,
        lost,
        doubled,
        invented,
    )


def await_all(target: Target, load: Load, promised: set[str], patience_s: float) -> None:
    """Returns when a query gives all of these ids. NotWhole tells how many are missing, some of them, and the hops."""
    try:
        _await(lambda: holds(target, load, promised), "acknowledged events are missing", patience_s)
    except NotWhole as error:
        missing = sorted(promised - final(target, load))
        checks = verify(target.settings, patience_s=5).checks
        hops = [f"{check.hop}: {check.detail} {check.gaps[:2]}" for check in checks if not check.ok]
        raise NotWhole(f"{error}: {len(missing):,}, such as {missing[:5]}; not proven: {hops}") from error


def holds(target: Target, load: Load, promised: set[str]) -> bool:
    """Whether a query gives all of these ids now; they are read only when there are enough."""
    with clickhouse.connect(target.settings, "chaos") as server:
        query = "select count() from events_processed where startsWith(user_id, {run:String})"
        if server.rows(query, {"run": load.run})[0][0] < len(promised):
            return False
    return promised <= final(target, load)


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


def prove(target: Target, load: Load, patience_s: float = PATIENCE_S) -> None:
    """All that was promised, with the load held.

    Acknowledged ⊆ counted ⊆ acknowledged + unanswered, each id once, every hop and window proven, rollups equal to a
    recount, the published result equal to one computed from the events themselves.
    """
    with load.paused():
        acked = load.ledger.snapshot()
        await_all(target, load, acked, patience_s)
        refresh(target)
        report = verify(target.settings, patience_s=60)
        told = [gap for check in report.checks if not check.ok for gap in check.gaps]
        assert report.ok, f"not proven: {told}, {[check.detail for check in report.checks if not check.ok]}"
        there = final(target, load)
        assert acked <= there <= acked | load.ledger.unknown
        assert count(target, load, acked) == (0, 0, 0)
        recomputed.demand_result(load, there)
        _demand_ledger(target)


def refresh(target: Target) -> None:
    """Rollups, results and reconciliation, by the Dagster job."""
    done = subprocess.run(
        [sys.executable, "-m", "neonblue_pipeline.materialize", "refresh"],
        env={**os.environ, **target.stack.settings, "NEONBLUE_RECONCILIATION_WINDOW_MINUTES": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


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
