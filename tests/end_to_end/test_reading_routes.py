"""The routes that read ClickHouse, with generated requests about an experiment that has data."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tests.end_to_end.journey import Platform
from tests.integration.api.fix_schemathesis import CHECKS, REFUSALS, run

PARTS = ("results", "summary", "journeys", "timeseries", "properties", "funnel")


@pytest.fixture(scope="module")
def measured(platform: Platform) -> str:
    """The key of an experiment with users, events and results."""
    key = f"read-{uuid4().hex[:12]}"
    platform.create_experiment(key, metrics=[("conversion", "proportion"), ("conversion", "mean")])
    events = []
    for number in range(6):
        user = f"{key}-{number}"
        platform.post(f"/v1/experiments/{key}/assignments", {"user_id": user})
        for kind in ("exposure", "conversion"):
            properties = {"page": "/p", "value": 2.5, "n": 2**70}
            now = datetime.now(UTC).isoformat()
            events.append({"id": str(uuid4()), "user_id": user, "event_type": kind, "timestamp": now})
            events[-1]["properties"] = properties
    platform.post("/v1/events/batch", {"events": events})
    platform.await_events([event["id"] for event in events])
    platform.refresh()
    return key


def test_each_has_something_to_say_of_an_experiment_with_data(platform: Platform, measured: str) -> None:
    at = f"/v1/experiments/{measured}"
    assert platform.get(f"{at}/results")["as_of"] is not None
    assert sum(variant["users"] for variant in platform.get(f"{at}/summary")["variants"]) == 6
    assert len(platform.get(f"{at}/journeys")["items"]) == 6
    assert platform.get(f"{at}/timeseries?grain=hour")["points"] != []
    cells = platform.get(f"{at}/properties?property=n")["cells"]
    assert {cell["property_value"]: cell["value"] for cell in cells}.keys() == {str(2**70)}
    steps = [
        variant["steps"][1]["users"] for variant in platform.get(f"{at}/funnel?steps=exposure,conversion")["variants"]
    ]
    assert sum(steps) == 6


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_reply_is_one_that_the_document_states(platform: Platform, measured: str) -> None:
    url, token = (platform.settings[name] for name in ("NEONBLUE_API_URL", "NEONBLUE_API_TOKEN"))
    chosen = ["--include-path-regex", f"/({'|'.join(PARTS)})$"]
    result = run(url, token, *chosen, checks=[*CHECKS, REFUSALS], existing=measured, examples=4)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert f"{len(PARTS)} selected" in result.stdout, result.stdout[:1000]
