"""One user, one assignment, four events: followed through every stage of the real stack, down to each typed column."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.end_to_end.journey import Platform

LANDING = {"page": "/landing", "device": "mobile", "browser": "firefox"}
PRODUCT = {"page": "/product", "device": "mobile", "browser": "firefox"}
STEPS = [
    ("exposure", LANDING),
    ("page_view", PRODUCT),
    ("click", PRODUCT),
    ("conversion", PRODUCT | {"value": 39.99, "score": 88}),
]


@dataclass(frozen=True)
class Flow:
    """What was sent, and the number under which the stores know the experiment."""

    experiment: str
    experiment_id: int
    user: str
    variant: str
    event_ids: list[str]
    started: datetime


@pytest.fixture(scope="module")
def flow(platform: Platform) -> Flow:
    experiment, user = f"classic-{uuid4().hex[:12]}", f"user-{uuid4().hex[:12]}"
    platform.create_experiment(experiment, metrics=[("conversion", "proportion"), ("conversion", "mean")])
    assigned = platform.post(f"/v1/experiments/{experiment}/assignments", {"user_id": user})
    # Half a minute apart and ending now, in an order other than that of sending.
    started = datetime.now(UTC) - timedelta(seconds=1)
    assigned_at = datetime.fromisoformat(assigned["assigned_at"])
    moments = [assigned_at + timedelta(milliseconds=10 * step) for step in range(len(STEPS))]
    events = [
        {
            "id": str(uuid4()),
            "user_id": user,
            "event_type": event_type,
            "timestamp": moment.isoformat(),
            "experiment": experiment,
            "properties": properties,
            "session_id": "session-1",
        }
        for (event_type, properties), moment in zip(STEPS, moments, strict=True)
    ]
    for event in reversed(events[1:]):
        platform.post("/v1/events", event)
    platform.post("/v1/events", events[0])
    flow = Flow(
        experiment,
        platform.experiment_id(experiment),
        user,
        assigned["variant_key"],
        [event["id"] for event in events],
        started,
    )
    platform.await_events(flow.event_ids)
    platform.refresh()
    return flow


def test_every_fact_has_one_outbox_row(platform: Platform, flow: Flow) -> None:
    rows = platform.postgres(
        "select event_type, count(*) from outbox_events where aggregate_id = any(%s) or aggregate_id = %s group by 1",
        (flow.event_ids, f"{flow.experiment}/{flow.user}"),
    )
    assert dict(rows) == {"EVENT_CREATED": 4, "ASSIGNMENT_CREATED": 1}


def test_every_fact_is_one_message_keyed_by_its_user(platform: Platform, flow: Flow) -> None:
    wanted = {*flow.event_ids, f"{flow.experiment}/{flow.user}"}
    found = list(platform.kafka_messages(wanted))
    assert sorted(found) == sorted((flow.user, id_) for id_ in wanted)


def test_clickhouse_holds_each_event_once_with_its_experiment_and_variant(platform: Platform, flow: Flow) -> None:
    rows = platform.clickhouse(
        "select toString(id), variant_key, user_id, session_id from events_processed where experiment_id = {x:UInt64}",
        x=flow.experiment_id,
    )
    assert sorted(rows) == sorted((id_, flow.variant, flow.user, "session-1") for id_ in flow.event_ids)
    assert platform.clickhouse(
        "select user_id, variant_key from assignments_mv where experiment_id = {x:UInt64}", x=flow.experiment_id
    ) == [(flow.user, flow.variant)]


def test_properties_become_typed_columns_and_flags(platform: Platform, flow: Flow) -> None:
    rows = platform.clickhouse(
        """select event_type, page, device, browser, value, score, is_exposure, is_click, is_conversion, is_valid
           from events_processed where experiment_id = {x:UInt64} order by timestamp""",
        x=flow.experiment_id,
    )
    assert rows == [
        ("exposure", "/landing", "mobile", "firefox", None, None, True, False, False, True),
        ("page_view", "/product", "mobile", "firefox", None, None, False, False, False, True),
        ("click", "/product", "mobile", "firefox", None, None, False, True, False, True),
        ("conversion", "/product", "mobile", "firefox", 39.99, 88.0, False, False, True, True),
    ]


def test_the_journey_is_in_the_order_of_time_whatever_order_was_sent(platform: Platform, flow: Flow) -> None:
    events = platform.journey(flow.experiment, flow.user)
    assert [step for step, _ in events] == [event_type for event_type, _ in STEPS]


def test_the_hours_add_up_to_what_was_sent(platform: Platform, flow: Flow) -> None:
    rows = platform.clickhouse(
        """select event_type, sum(events), round(sum(value_sum), 2) from hourly_metrics
           where experiment_id = {x:UInt64} group by event_type""",
        x=flow.experiment_id,
    )
    assert sorted(rows) == [("click", 1, 0), ("conversion", 1, 39.99), ("exposure", 1, 0), ("page_view", 1, 0)]


def test_the_summary_tells_the_variants_performance(platform: Platform, flow: Flow) -> None:
    variants = platform.get(f"/v1/experiments/{flow.experiment}/summary")["variants"]
    mine = next(v for v in variants if v["variant"] == flow.variant)
    other = next(v for v in variants if v["variant"] != flow.variant)
    assert {name: mine[name] for name in ("events", "unique_users", "exposures", "conversions", "value")} == {
        "events": 4,
        "unique_users": 1,
        "exposures": 1,
        "conversions": 1,
        "value": 39.99,
    }
    assert other["events"] == 0


def test_the_result_counts_the_conversion_and_its_value(platform: Platform, flow: Flow) -> None:
    results = platform.get(f"/v1/experiments/{flow.experiment}/results")
    by_kind = {metric["kind"]: metric["variants"] for metric in results["metrics"]}
    for kind, total in (("proportion", 1), ("mean", 39.99)):
        mine = next(v for v in by_kind[kind] if v["variant"] == flow.variant)
        assert (mine["users"], mine["sum"], mine["mean"]) == (1, total, total)
    assert results["sample_ratio"]["counts"][flow.variant] == 1
