"""The demo from beginning to end: create, send, watch, materialise, publish, compare with the file, reconcile."""

import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from rich.console import Console

from neonblue_local.commands.results import print_results
from neonblue_local.demo import players as cats
from neonblue_local.demo.checks import compare_ids, compare_results
from neonblue_local.demo.report import StagesView, decision, findings_table
from neonblue_local.demo.send import DemoError, Sender
from neonblue_local.demo.stages import Counts, Ids, Stages
from neonblue_pipeline.settings import Settings

STUCK_S = 120
_LOOK_EVERY_S = 1  # each look counts what has arrived so far in every store


@dataclass(frozen=True)
class Addresses:
    """Where the parts answer; from the settings of docs/contracts.md."""

    api_url: str
    api_token: str
    pipeline: Settings
    environment: Mapping[str, str]  # of a process that runs a job of the pipeline


def run_demo(addresses: Addresses, console: Console, player_limit: int | None = None) -> dict:
    """Runs the demo and returns its report; `report["ok"]` tells whether every comparison held.

    Safe to repeat and to cut off: ids and times follow from the file, so what was stored before is told as a duplicate.
    Raises DemoError, with the stage and the way out, where it cannot go on.
    """
    say = console.print
    players = cats.load_players(player_limit)
    say(f"{len(players):,} players of Cookie Cats; real variants, returns and rounds, made-up times", highlight=False)
    with Sender(addresses.api_url, addresses.api_token, say) as sender:
        started_at = sender.create_experiment()
        assignments = list(cats.assignments(players, started_at))
        events = list(cats.events(players, started_at))
        sent = Ids({e["id"] for e in events}, {a["user_id"] for a in assignments}, len(events) + len(assignments))
        with Stages(addresses.pipeline, cats.EXPERIMENT) as stages:
            seconds = _send_and_watch(sender, stages, assignments, events, console)
            say(f"{sent.rows:,} facts through the whole way in {seconds:.1f} s", highlight=False)
            materialise("refresh", addresses.environment, console)
            results = sender.request("GET", f"/v1/experiments/{cats.EXPERIMENT}/results").json()
            print_results(console, results)
            findings = compare_results(results, cats.expected(players), cats.expected_sample_ratio_p(players))
            say(findings_table("the published result against the file", findings, ("file", "NeonBlue")))
            reconciled = [
                compare_ids("PostgreSQL", sent, stages.postgres_ids()),
                compare_ids("Kafka", sent, stages.kafka_ids(lambda read: None)),
                compare_ids("ClickHouse", sent, stages.clickhouse_ids()),
            ]
            say(findings_table("every id sent, stage by stage", reconciled, ("sent", "found")))
    return {
        "ok": all(finding.agrees for finding in (*findings, *reconciled)),
        "facts": sent.rows,
        "seconds_through_the_whole_way": round(seconds, 1),
        "comparisons": [asdict(finding) for finding in findings],
        "reconciliation": [asdict(finding) for finding in reconciled],
        "decision": decision(results),
        "results": results,
    }


def _send_and_watch(
    sender: Sender, stages: Stages, assignments: list[dict], events: list[dict], console: Console
) -> float:
    """Sends everything while showing each stage; returns the seconds until all of it could be queried in ClickHouse."""
    total = len(assignments) + len(events)
    acknowledged = 0
    failure: list[BaseException] = []

    def add(count: int) -> None:
        nonlocal acknowledged
        acknowledged += count

    def send() -> None:
        try:
            # An event that names its experiment is only accepted for an assigned user: assignments go first.
            sender.send_all("/v1/assignments/batch", "assignments", assignments, add)
            sender.send_all("/v1/events/batch", "events", events, add)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that watches
            failure.append(error)

    started = time.monotonic()
    thread = threading.Thread(target=send, name="demo-send", daemon=True)
    thread.start()
    progress: tuple[int, Counts] = (0, Counts(0, 0, 0, 0))
    moved_at = started
    with StagesView(console, total) as view:
        while True:
            now = (acknowledged, _look(stages, progress[1]))
            view.show(*now)
            if failure:
                raise failure[0]
            if not thread.is_alive() and now[1].clickhouse >= total:
                return time.monotonic() - started
            if now != progress:
                progress, moved_at = now, time.monotonic()
            elif time.monotonic() - moved_at > STUCK_S:
                raise DemoError(
                    f"nothing moved for {STUCK_S} s: {acknowledged:,} of {total:,} acknowledged, {now[1]}; "
                    "`neonblue status` shows which stage stands still and where its log is"
                )
            thread.join(_LOOK_EVERY_S) if thread.is_alive() else time.sleep(_LOOK_EVERY_S)


def _look(stages: Stages, last: Counts) -> Counts:
    """The counts now, or the last ones while a part restarts: the stage that stays away is found by STUCK_S."""
    try:
        return stages.counts()
    except Stages.AWAY:
        return last


def materialise(job: str, environment: Mapping[str, str], console: Console) -> None:
    """Runs a job of the pipeline, recorded in Dagster like any other run."""
    console.print(f"Dagster job {job}: rollups, significance, reconciliation", highlight=False)
    command = [sys.executable, "-m", "neonblue_pipeline.materialize", job]
    done = subprocess.run(command, env=environment, capture_output=not console.is_terminal, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise DemoError(
            f"the Dagster job {job} failed; its run and log are in Dagster's pages\n{done.stderr or ''}"[-3000:]
        )
