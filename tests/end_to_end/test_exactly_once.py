"""However often a client sends something, it is counted once; however often the assets run, the rows are the same."""

import json
import socket
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.end_to_end.journey import Platform

ROLLUPS = ("hourly_metrics", "daily_metrics", "user_rollup", "user_journeys", "experiment_summary")


def _event(user: str, **more: object) -> dict:
    moment = datetime.now(UTC).isoformat()
    event = {
        "id": str(uuid4()),
        "user_id": user,
        "event_type": "click",
        "timestamp": moment,
        "properties": {"value": 1},
    }
    return event | more


def _rows_of(platform: Platform, ids: list[str]) -> int:
    return platform.clickhouse(
        "select count() from events_processed where toString(id) in {ids:Array(String)}", ids=ids
    )[0][0]


def test_an_event_sent_twice_is_counted_once(platform: Platform) -> None:
    event = _event(f"user-{uuid4()}")
    platform.post("/v1/events", event)
    platform.post("/v1/events", event)
    marker = _event(event["user_id"])  # same user, so same partition: once it is there, the repeat would be, too
    platform.post("/v1/events", marker)
    platform.await_events([event["id"], marker["id"]])
    assert _rows_of(platform, [event["id"], marker["id"]]) == 2
    assert platform.postgres("select count(*) from outbox_events where aggregate_id = %s", (event["id"],)) == [(1,)]


def test_a_batch_repeated_after_a_cut_connection_is_counted_once(platform: Platform) -> None:
    user = f"user-{uuid4()}"
    batch = [_event(user) for _ in range(100)]
    _post_and_cut(platform, "/v1/events/batch", {"events": batch})
    reply = platform.post("/v1/events/batch", {"events": batch})
    assert reply["accepted"] + reply["duplicates"] == 100
    assert reply["rejected"] == []
    marker = _event(user)
    platform.post("/v1/events", marker)
    ids = [event["id"] for event in batch]
    platform.await_events([*ids, marker["id"]])
    assert _rows_of(platform, ids) == 100


@pytest.mark.nightly  # without the stack's own runs beside it: tests/integration/pipeline/test_schema_and_proof.py
def test_all_assets_run_again_leave_the_same_rows(platform: Platform) -> None:
    experiment = f"again-{uuid4().hex[:12]}"
    platform.create_experiment(experiment, metrics=[("click", "mean")])
    experiment_id = platform.experiment_id(experiment)
    users = [f"{experiment}-{n}" for n in range(20)]
    for user in users:
        platform.post(f"/v1/experiments/{experiment}/assignments", {"user_id": user})
    events = [_event(user, experiment=experiment) for user in users]
    platform.post("/v1/events/batch", {"events": events})
    platform.await_events([event["id"] for event in events])

    def rows() -> dict[str, list[tuple]]:
        return {
            table: sorted(
                platform.clickhouse(f"select * from {table} where experiment_id = {{x:UInt64}}", x=experiment_id),
                key=repr,
            )
            for table in ROLLUPS
        }

    platform.refresh()
    first = rows()
    result = platform.get(f"/v1/experiments/{experiment}/results")
    platform.refresh()
    assert all(first.values())
    assert rows() == first
    assert platform.get(f"/v1/experiments/{experiment}/results")["metrics"] == result["metrics"]


def _post_and_cut(platform: Platform, path: str, body: object) -> None:
    """Sends a whole request and closes the connection without reading the reply, as a client whose network breaks."""
    url = urlsplit(platform.settings["NEONBLUE_API_URL"])
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {platform.settings['NEONBLUE_API_TOKEN']}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.sendall(head.encode() + content)
