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


def test_a_demo_whose_stack_is_restarted_in_the_middle_ends_with_the_figures_of_the_file(
    stack: Stack, platform: Platform
) -> None:
    demo = subprocess.Popen(
        [str(NEONBLUE), "demo", "--json"],
        env={**os.environ, **stack.settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        give_up_at = monotonic() + PATIENCE_S
        while _accepted(platform) < 100_000:
            assert demo.poll() is None, f"the demo ended before its middle: {demo.communicate()}"
            assert monotonic() < give_up_at, "the demo did not come to its middle"
        stack.down()
        assert demo.poll() is None, "the demo ended with the stack instead of waiting for it"
        stack.up()
        output, errors = demo.communicate(timeout=PATIENCE_S)
    finally:
        demo.kill()
    assert demo.returncode == 0, f"{output[-2000:]}{errors[-4000:]}"
    report = json.loads(output)
    assert report["ok"]
    assert [(f["what"], f["agrees"]) for f in report["reconciliation"]] == [
        ("PostgreSQL", True),
        ("Kafka", True),
        ("ClickHouse", True),
    ]
    retention = report["results"]["metrics"][0]
    assert [(v["variant"], v["users"], v["sum"]) for v in retention["variants"]] == [
        ("gate_30", 44_700, 8_502),
        ("gate_40", 45_489, 8_279),
    ]


def _accepted(platform: Platform) -> int:
    return platform.postgres(
        """select (select count(*) from assignments) + (select count(*) from events
           where experiment_id = (select experiment_id from experiments where key = 'cookie_cats'))"""
    )[0][0]
