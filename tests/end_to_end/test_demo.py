"""The demo: its result equals the file, and a stop of everything in its middle changes nothing."""

import json
import os
import subprocess
from time import monotonic

import pytest

from tests.end_to_end.journey import Platform
from tests.fix_stack import NEONBLUE, Stack

PATIENCE_S = 280
pytestmark = pytest.mark.timeout(2 * PATIENCE_S)


@pytest.mark.nightly  # beside a second worker the restart takes longer than the demo waits
def test_a_demo_whose_stack_is_restarted_in_the_middle_ends_with_the_figures_of_the_file(stack: Stack) -> None:
    retention = _demo_with_a_restart(stack, facts_before=12_000, arguments=("--players", "9000"))
    assert sum(variant["users"] for variant in retention["variants"]) == 9_000


@pytest.mark.nightly
def test_the_whole_file_through_a_restart_ends_with_its_figures(empty_stack: Stack) -> None:
    empty_stack.up()
    retention = _demo_with_a_restart(empty_stack, facts_before=100_000)
    assert [(v["variant"], v["users"], v["sum"]) for v in retention["variants"]] == [
        ("gate_30", 44_700, 8_502),
        ("gate_40", 45_489, 8_279),
    ]


def _demo_with_a_restart(stack: Stack, facts_before: int, arguments: tuple[str, ...] = ()) -> dict:
    """Runs the demo, restarts the stack once so many facts are accepted; the results of retention_7, all compared."""
    platform = Platform(stack.settings)
    demo = subprocess.Popen(
        [str(NEONBLUE), "demo", "--json", *arguments],
        env={**os.environ, **stack.settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        give_up_at = monotonic() + PATIENCE_S
        while _accepted(platform) < facts_before:
            assert demo.poll() is None, f"the demo ended before its middle: {demo.communicate()}"
            assert monotonic() < give_up_at, "the demo did not come to its middle"
        stack.down()
        assert demo.poll() is None, "the demo ended with the stack instead of waiting for it"
        stack.up()
        output, errors = demo.communicate(timeout=PATIENCE_S)
    finally:
        demo.kill()
        platform.api.close()
    assert demo.returncode == 0, f"{output[-2000:]}{errors[-4000:]}"
    report = json.loads(output)
    assert report["ok"]
    assert [(f["what"], f["agrees"]) for f in report["reconciliation"]] == [
        ("PostgreSQL", True),
        ("Kafka", True),
        ("ClickHouse", True),
    ]
    return report["results"]["metrics"][0]


def _accepted(platform: Platform) -> int:
    rows = platform.postgres(
        """select (select count(*) from assignments as a where a.experiment_id = x.experiment_id)
                + (select count(*) from events as e where e.experiment_id = x.experiment_id)
           from experiments as x where key = 'cookie_cats'"""
    )
    return rows[0][0] if rows else 0
