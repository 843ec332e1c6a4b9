"""Rollups and results: right, the same when built again, and independent of the order in which facts arrived."""

import random
from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import uuid4

import pytest

from neonblue_pipeline import kafka, rollup, significance
from neonblue_pipeline.publication import sufficient_statistics
from neonblue_pipeline.settings import TOPIC
from tests.integration.pipeline.conftest import Pipeline, SmallPortions

DAY = "2026-01-05"
METRICS = [("proportion", "conversion", None), ("mean", "conversion", None), ("mean", "conversion", "rounds")]


def results_of(pipeline: Pipeline, experiment_id: int) -> list[dict[str, Any]]:
    """What the significance asset would write for one experiment."""
    cells = [c for c in sufficient_statistics(pipeline.server) if c["experiment_id"] == experiment_id]
    return [dict(zip(significance.RESULT_COLUMNS, row, strict=True)) for row in significance.analyse(cells)[0]]


def test_the_classic_flow_is_counted_step_by_step(pipeline: Pipeline) -> None:
    key, x = pipeline.create_experiment(METRICS)
    user = f"u-{uuid4()}"
    pipeline.assign(key, {user: "new", f"idle-{user}": "control"})
    steps = [
        ("exposure", {"page": "/landing"}),
        ("page_view", {"page": "/product"}),
        ("click", {"page": "/product"}),
        ("conversion", {"page": "/product", "value": 39.99, "score": 88, "rounds": 7}),
    ]
    events = [
        {
            "user_id": user,
            "event_type": kind,
            "timestamp": f"{DAY}T09:59:5{n}Z",
            "experiment": key,
            "properties": properties,
        }
        for n, (kind, properties) in enumerate(steps)
    ]
    pipeline.await_events(pipeline.send(list(reversed(events))))
    pipeline.build()
    found = pipeline.rollups(x)
    journey = pipeline.clickhouse("select steps, value_sum from user_journeys where experiment_id = {x:UInt64}", x=x)
    assert [(s["event_type"], s["page"]) for s in journey[0][0]] == [(kind, p["page"]) for kind, p in steps]
    assert journey[0][1] == 39.99
    assert len(found["hourly_metrics"]) == len(found["daily_metrics"]) == 4
    rolled = "select metric, events, value_sum from user_rollup where experiment_id = {x:UInt64} order by metric"
    assert pipeline.clickhouse(rolled, x=x) == [(f"{key}.0", 1, 0), (f"{key}.1", 1, 39.99), (f"{key}.2", 1, 7)]
    summary = """select variant_key, users, active_users, converted_users, events, conversions, value_sum
                 from experiment_summary where experiment_id = {x:UInt64} order by variant_key"""
    assert pipeline.clickhouse(summary, x=x) == [("control", 1, 0, 0, 0, 0, 0), ("new", 1, 1, 1, 4, 1, 39.99)]
    by_cell = {(r["metric"], r["variant"]): r for r in results_of(pipeline, x)}
    assert by_cell[f"{key}.0", "new"]["mean"] == 1
    assert by_cell[f"{key}.0", "control"] | {"users": 1, "mean": 0} == by_cell[f"{key}.0", "control"]


def test_building_again_gives_the_same_rows(pipeline: Pipeline) -> None:
    key, x = pipeline.create_experiment(METRICS)
    users = {f"u{n}-{uuid4()}": ("control", "new")[n % 2] for n in range(20)}
    pipeline.assign(key, users)
    pipeline.await_events(
        pipeline.send(
            [{"user_id": u, "event_type": "conversion", "properties": {"value": n / 7}} for n, u in enumerate(users)]
        )
    )
    pipeline.build()
    before, results = pipeline.rollups(x), results_of(pipeline, x)
    # The same days, made dirty by an event of somebody else.
    pipeline.await_events(pipeline.send([{"user_id": f"other-{uuid4()}", "event_type": "click"}]))
    assert pipeline.build().days
    assert pipeline.rollups(x) == before
    assert results_of(pipeline, x) == results


def test_a_build_in_portions_gives_the_same_rows(pipeline: Pipeline, small_portions: SmallPortions) -> None:
    """One experiment with more events than a portion, whose users are taken in buckets, and two that share one."""
    made = [pipeline.create_experiment(METRICS) for _ in range(3)]
    sent = []
    for number, (key, _) in enumerate(made):
        users = {f"u{n}-{uuid4()}": ("control", "new")[n % 2] for n in range(30 if number == 0 else 3)}
        pipeline.assign(key, users)
        sent += [
            {"user_id": user, "event_type": "conversion", "properties": {"value": n / 7, "rounds": n}}
            for n, user in enumerate(users)
        ]
    pipeline.await_events(pipeline.send(sent))
    pipeline.build()
    before = [pipeline.rollups(x) for _, x in made]
    assert [len(found["user_rollup"]) for found in before] == [90, 9, 9]
    small_portions(rollup, min(x for _, x in made), 7)
    pipeline.await_events(pipeline.send([{"user_id": f"other-{uuid4()}", "event_type": "click"}]))
    assert pipeline.build().days
    assert [pipeline.rollups(x) for _, x in made] == before


def test_the_steps_of_a_user_are_the_first_thousand_of_the_day_however_many_he_has(pipeline: Pipeline) -> None:
    key, x = pipeline.create_experiment(METRICS)
    numbers = {f"u-{uuid4()}": 1_100, f"busy-{uuid4()}": 10_100}
    pipeline.assign(key, dict.fromkeys(numbers, "new"))
    events = [
        {
            "user_id": user,
            "event_type": "page_view",
            "timestamp": f"{DAY}T{10 + n // 3600}:{n // 60 % 60:02d}:{n % 60:02d}Z",
        }
        for user, number in numbers.items()
        for n in range(number)
    ]
    random.Random(1).shuffle(events)
    sent = [pipeline.send(events[first : first + 1000]) for first in range(0, len(events), 1000)]
    pipeline.await_events([id for ids in sent for id in ids])
    pipeline.build()
    journeys = "select user_id, events, steps.timestamp from user_journeys where experiment_id = {x:UInt64}"
    found = {user: (count, moments) for user, count, moments in pipeline.clickhouse(journeys, x=x)}
    assert {user: count for user, (count, _) in found.items()} == numbers
    for user in numbers:
        of_user = sorted(event["timestamp"] for event in events if event["user_id"] == user)
        assert [f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in found[user][1]] == of_user[:1000]


def test_a_late_event_builds_its_day_again_and_no_other(pipeline: Pipeline) -> None:
    key, x = pipeline.create_experiment(METRICS)
    user = f"u-{uuid4()}"
    pipeline.assign(key, {user: "new"})
    event = {"user_id": user, "event_type": "conversion", "properties": {"value": 5}}
    pipeline.await_events(pipeline.send([event | {"timestamp": f"2026-01-1{n}T12:00:00Z"} for n in range(3)]))
    pipeline.await_everything()
    pipeline.build()
    late = pipeline.send([event | {"timestamp": "2026-01-11T23:59:59.999999Z"}])
    pipeline.await_events(late)
    days = [day.isoformat() for day, causes in pipeline.build().days.items() if "events" in causes]
    assert "2026-01-11" in days
    assert "2026-01-10" not in days
    totals = (
        "select toString(day), sum(value_sum) from daily_metrics where experiment_id = {x:UInt64} group by 1 order by 1"
    )
    assert sorted(pipeline.clickhouse(totals, x=x)) == [("2026-01-10", 5), ("2026-01-11", 10), ("2026-01-12", 5)]


def test_nothing_is_built_when_nothing_changed(pipeline: Pipeline) -> None:
    pipeline.await_everything()
    pipeline.build()
    again = pipeline.build()
    assert again.days == {}
    assert again.marks_left == 0
    pending = pipeline.server.read("pending_rollups")[0]
    assert (pending["blocks_of_events"], pending["assignments"], pending["definitions"]) == (0, 0, 0)


def test_events_count_from_the_assignment_on_within_the_run_and_for_the_experiment_they_name(
    pipeline: Pipeline,
) -> None:
    first, x = pipeline.create_experiment(METRICS, started_at="2026-01-01")
    second, y = pipeline.create_experiment(METRICS, started_at="2026-01-06T12:00Z")
    user = f"u-{uuid4()}"
    pipeline.assign(first, {user: "new"}, assigned_at="2026-01-05T00:00:00Z")
    pipeline.assign(second, {user: "control"}, assigned_at="2026-01-05T00:00:00Z")
    event = {"user_id": user, "event_type": "conversion"}
    moments = {
        "2026-01-04T23:59:59.999999Z": None,  # before the assignment: counts for none
        "2026-01-05T00:00:00Z": None,  # the moment of the assignment: for the first, the second does not run yet
        "2026-01-06T12:00:00Z": None,  # for both
        "2026-01-07T00:00:00Z": first,  # names one: for that one
        "2026-01-08T00:00:00Z": second,
    }
    pipeline.await_events(pipeline.send([event | {"timestamp": t, "experiment": e} for t, e in moments.items()]))
    pipeline.build()
    days = "select toString(day), events from daily_metrics where experiment_id = {x:UInt64} order by day"
    assert pipeline.clickhouse(days, x=x) == [("2026-01-05", 1), ("2026-01-06", 1), ("2026-01-07", 1)]
    assert pipeline.clickhouse(days, x=y) == [("2026-01-06", 1), ("2026-01-08", 1)]
    # Stopping the first at a moment in the past takes the later events out again.
    pipeline.postgres(
        "update experiments set status = 'stopped', stopped_at = '2026-01-06' where experiment_id = %s", (x,)
    )
    pipeline.postgres("select publish_experiment(%s)", (x,))
    pipeline.await_everything()
    pipeline.build()
    assert pipeline.clickhouse(days, x=x) == [("2026-01-05", 1)]
    assert pipeline.clickhouse(days, x=y) == [("2026-01-06", 1), ("2026-01-08", 1)]


def test_a_day_whose_last_row_went_is_empty_and_does_not_keep_the_old_one(pipeline: Pipeline) -> None:
    key, x = pipeline.create_experiment(METRICS)
    user = f"u-{uuid4()}"
    day = f"20{random.randint(10, 24)}-0{random.randint(1, 9)}-{random.randint(10, 28)}"
    pipeline.postgres("update experiments set started_at = '2009-01-01' where experiment_id = %s", (x,))
    pipeline.postgres("select publish_experiment(%s)", (x,))
    pipeline.assign(key, {user: "new"}, assigned_at="2009-01-01T00:00:00Z")
    pipeline.await_events(
        pipeline.send([{"user_id": user, "event_type": "conversion", "timestamp": f"{day}T01:00:00Z"}])
    )
    pipeline.await_everything()
    pipeline.build()
    assert len(pipeline.rollups(x)["user_rollup"]) == len(METRICS)
    assert pipeline.postgres("select delete_assignment(%s, %s)", (key, user)) == [("deleted",)]
    pipeline.await_everything()
    pipeline.build()
    found = pipeline.rollups(x)
    assert all(found[table] == [] for table in found if table != "experiment_summary")


def shuffled(facts: Sequence[tuple[str, Any]], seed: int) -> list[tuple[str, Any]]:
    order = list(facts)
    random.Random(seed).shuffle(order)
    return order


def test_the_result_does_not_depend_on_the_order_of_arrival(pipeline: Pipeline) -> None:
    """Assignments, events without an experiment and the definition, in any order and with builds in between."""
    key, x = pipeline.create_experiment(METRICS)
    users = [f"u{n}-{uuid4()}" for n in range(12)]
    facts: list[tuple[str, Any]] = [("assign", (user, ("control", "new")[n % 2])) for n, user in enumerate(users)]
    facts += [
        (
            "event",
            {
                "user_id": user,
                "event_type": "conversion",
                "timestamp": f"2026-01-0{3 + n % 4}T10:00:00Z",
                "properties": {"value": 0.1 * (n + 1), "rounds": n},
            },
        )
        for n, user in enumerate(users)
        for _ in range(3)
    ]
    facts += [("define", None), ("build", None)] * 2
    sent = []
    for what, fact in shuffled(facts, 1):
        if what == "assign":
            pipeline.assign(key, dict([fact]))
        elif what == "event":
            sent += pipeline.send([fact])
        elif what == "define":
            pipeline.postgres("select publish_experiment(%s)", (x,))
        else:
            pipeline.build()
    pipeline.await_events(sent)
    pipeline.await_everything()
    pipeline.build()
    for result in results_of(pipeline, x):
        mine = [n for n in range(12) if ("control", "new")[n % 2] == result["variant"]]
        expected = {
            f"{key}.0": len(mine),
            f"{key}.1": sum(3 * 0.1 * (n + 1) for n in mine),
            f"{key}.2": sum(3 * n for n in mine),
        }[result["metric"]]
        assert result["users"] == len(mine)
        assert result["sum"] == pytest.approx(expected, rel=1e-12)


def test_a_billion_of_revenue_keeps_its_variance(pipeline: Pipeline) -> None:
    key, x = pipeline.create_experiment([("mean", "conversion", None)])
    values = {"control": [1e9, 1e9 + 1, 1e9 + 2, 1e9 + 3], "new": [1e9 + 2, 1e9 + 3, 1e9 + 4, 1e9 + 5]}
    users = {
        f"u{n}-{variant}-{uuid4()}": (variant, value) for variant, v in values.items() for n, value in enumerate(v)
    }
    pipeline.assign(key, {user: variant for user, (variant, _) in users.items()})
    pipeline.await_events(
        pipeline.send(
            [{"user_id": u, "event_type": "conversion", "properties": {"value": v}} for u, (_, v) in users.items()]
        )
    )
    pipeline.build()
    cells = [c for c in sufficient_statistics(pipeline.server) if c["experiment_id"] == x]
    assert [c["centred_squares"] for c in cells] == [5.0, 5.0]


def test_a_sum_beyond_floats_is_no_figure_and_leaves_others_as_they_are(pipeline: Pipeline) -> None:
    key, x = pipeline.create_experiment(METRICS)
    user, other = f"u-{uuid4()}", f"o-{uuid4()}"
    pipeline.assign(key, {user: "new", other: "control"})
    events = [{"value": 1.7e308, "rounds": 1.7e308}, {"value": 1.7e308, "rounds": -1.7e308}]
    sent = [{"user_id": user, "event_type": "conversion", "properties": each} for each in events]
    sent.append({"user_id": other, "event_type": "conversion", "properties": {"value": 2.5, "rounds": 5e-324}})
    pipeline.await_events(pipeline.send(sent))
    pipeline.build()
    found = {(r["metric"], r["variant"]): r for r in results_of(pipeline, x)}
    assert [found[f"{key}.{n}", "new"]["users"] for n in range(3)] == [1, 1, 1]
    assert [found[f"{key}.0", variant]["sum"] for variant in ("control", "new")] == [1, 1]
    assert [found[f"{key}.1", variant]["sum"] for variant in ("control", "new")] == [None, None]
    assert [found[f"{key}.2", variant]["sum"] for variant in ("control", "new")] == [0, 0]


def test_users_without_events_count_as_zero(pipeline: Pipeline) -> None:
    key, x = pipeline.create_experiment([("mean", "conversion", None), ("proportion", "conversion", None)])
    pipeline.assign(key, {f"u{n}-{key}": "control" for n in range(4)} | {f"v{n}-{key}": "new" for n in range(2)})
    pipeline.await_events(
        pipeline.send(
            [{"user_id": f"u0-{key}", "event_type": "conversion", "properties": {"value": v}} for v in (3, 5)]
        )
    )
    pipeline.build()
    cells = {(c["kind"], c["variant"]): c for c in sufficient_statistics(pipeline.server) if c["experiment_id"] == x}
    mean, proportion = cells["mean", "control"], cells["proportion", "control"]
    assert (mean["users"], mean["sum"], mean["mean"], mean["centred_squares"]) == (4, 8, 2, 48)
    assert (proportion["sum"], proportion["mean"], proportion["centred_squares"]) == (1, 0.25, 0.75)
    assert (cells["mean", "new"]["users"], cells["mean", "new"]["mean"]) == (2, 0)


def test_marks_of_a_topic_that_was_deleted_or_is_empty_go_with_the_next_build(pipeline: Pipeline) -> None:
    pipeline.await_everything()
    beyond = max(end for _, end in kafka.end_offsets(pipeline.settings).values()) + 1000
    pipeline.server.insert(
        "dirty_days",
        ["day", "topic", "partition", "last_offset", "events"],
        [[date(2026, 1, 5), TOPIC, 1, beyond, 1]],
    )
    assert pipeline.build().marks_left == 0
