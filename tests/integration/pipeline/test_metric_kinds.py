"""Quantiles, funnels, caps by percentile and exact tests on real servers, held against the raw values."""

import json
from typing import Any

import numpy as np
import pytest

from neonblue_pipeline.publication import sufficient_statistics
from neonblue_stats import (
    JointMoments,
    Quantile,
    cluster_factor,
    exact_p_value,
    interval_levels,
    percentile_cap,
    quantile_effect,
    small_counts,
    two_proportion_z,
)
from neonblue_stats.moments import Moments
from tests.integration.pipeline.conftest import Pipeline
from tests.integration.pipeline.test_significance import ARMS, Metric, create, event, publish, users_of


def inverted(values: list[float], level: float) -> float:
    """The smallest value with at least that share at or below it."""
    return float(np.quantile(np.array(values), level, method="inverted_cdf"))


def clustered(by_user: list[list[float]], level: float) -> Quantile:
    """A quantile of events directly from every user's values."""
    everything = [v for own in by_user for v in own]
    value = inverted(everything, level)
    having = np.array([[sum(v <= value for v in own), len(own)] for own in by_user if own], dtype=float).T
    factor = cluster_factor(JointMoments(having.shape[1], having.mean(axis=1), np.cov(having)), level)
    low, high = interval_levels(len(everything), level, factor)
    ends = [inverted(everything, float(at[()])) for at in (low, high)]
    return Quantile(*(np.array([v]) for v in (len(everything), value, *ends)))


def test_a_quantile_of_events_is_exact_and_its_variance_clustered_by_user(pipeline: Pipeline) -> None:
    random = np.random.default_rng(7)
    levels = (0.5, 0.9)
    metrics: list[Metric] = [("quantile", "load", "ms", {"quantile": level}) for level in levels]
    filters = [{"property": "ms", "op": "<", "value": 300}]
    key, x = create(pipeline, [*metrics, ("quantile", "load", "ms", {"quantile": 0.99, "filters": filters})])
    users = users_of(pipeline, key, 40)
    loads: dict[str, list[list[float]]] = {arm: [] for arm in ARMS}
    events = []
    for arm in ARMS:
        for user in users[arm]:
            typical = float(random.gamma(4, 60))  # one user's loads resemble each other
            own = [typical + float(random.normal(0, 10)) for _ in range(int(random.poisson(6)))]
            loads[arm].append(own)
            # Over several days, so that a user's values come from several rows of the rollup.
            events += [event(user, "load", 0.1 + n % 4, ms=ms) for n, ms in enumerate(own)]
            events += [event(user, "load", -1, ms=1e6), event(user, "load", 1), event(user, "look", 1, ms=1e6)]
    found, quality = publish(pipeline, x, events)
    for number, level in enumerate(levels):
        sides = {arm: clustered(loads[arm], level) for arm in ARMS}
        for arm, expected in sides.items():
            row = found[number, arm]
            figures = [row[name] for name in ("quantile_values", "quantile_value", "quantile_low", "quantile_high")]
            assert figures == pytest.approx([field[0] for field in expected], rel=1e-12)
            assert row["quantile"] == level
        row, effect = found[number, "new"], quantile_effect(sides["control"], sides["new"], facing=True)
        assert row["test"] == "quantile"
        assert [row[f"abs_{f}"] for f in ("estimate", "low", "high", "p_value")] == pytest.approx(
            [effect.estimate[0], effect.low[0], effect.high[0], effect.p_value[0]]
        )
        lift = quantile_effect(sides["control"], sides["new"], relative=True, facing=True)
        assert [row["rel_estimate"], row["rel_p_value"]] == pytest.approx([lift.estimate[0], lift.p_value[0]])
        assert row["seq_rel_low"] < row["rel_low"]
        assert row["cuped_abs_p_value"] is None
        # Users as if they were independent events would be too sure of it.
        everything = [v for own in loads["new"] for v in own]
        low, high = (inverted(everything, float(at)) for at in interval_levels(len(everything), level))
        assert row["quantile_high"] - row["quantile_low"] > 1.2 * (high - low)
    below = [v for own in loads["new"] for v in own if v < 300]
    assert (found[2, "new"]["quantile_values"], found[2, "new"]["quantile_value"]) == (
        len(below),
        inverted(below, 0.99),
    )
    assert any("too few for an interval of the quantile 0.99" in warning for warning in quality["warnings"])


def test_a_quantile_of_users_counts_those_without_events_as_zero(pipeline: Pipeline) -> None:
    random = np.random.default_rng(8)
    of_users = {"quantile": 0.8, "of": "users"}
    key, x = create(
        pipeline,
        [("quantile", "buy", None, of_users), ("quantile", "buy", None, of_users | {"ignore_zeros": True})],
    )
    users = users_of(pipeline, key, 100)
    sums, events = {arm: dict.fromkeys(users[arm], 0.0) for arm in ARMS}, []
    for arm in ARMS:
        for user in users[arm][:70]:
            for days in (1, 2):
                value = float(random.normal(5, 10))  # refunds are below 0, and below those who never bought
                sums[arm][user] += value
                events.append(event(user, "buy", days, value=value))
    found, _ = publish(pipeline, x, events)
    for number, keep in ((0, lambda v: True), (1, lambda v: v != 0)):
        sides = []
        for arm in ARMS:
            values = [v for v in sums[arm].values() if keep(v)]
            low, high = interval_levels(len(values), 0.8)
            expected = [inverted(values, float(at)) for at in (0.8, low, high)]
            row = found[number, arm]
            assert row["quantile_values"] == len(values)
            assert [row[f"quantile_{n}"] for n in ("value", "low", "high")] == pytest.approx(expected, rel=1e-12)
            sides.append(Quantile(*(np.array([v]) for v in (len(values), *expected))))  # type: ignore[arg-type]
        assert found[number, "new"]["abs_p_value"] == pytest.approx(quantile_effect(*sides, facing=True).p_value[0])


def reached(events: list[tuple[float, str, dict[str, Any]]], steps: list[Any]) -> int:
    done = 0
    for _, name, properties in sorted(events, key=lambda e: e[0]):
        done += done < len(steps) and steps[done](name, properties)
    return done


def test_a_funnel_counts_steps_in_order_over_days_and_within_the_window(pipeline: Pipeline) -> None:
    random = np.random.default_rng(9)
    steps = [
        {"event_type": "cart", "filters": [{"property": "n", "op": ">", "value": 1}]},
        {"event_type": "view"},
        {"event_type": "buy"},
    ]
    window = {"from_days": 0, "to_days": 3}
    key, x = create(
        pipeline,
        [("funnel", "view", None, {"steps": steps}), ("funnel", "view", None, {"steps": steps, "window": window})],
    )
    users = users_of(pipeline, key, 150)
    rules = [
        lambda name, _: name == "view",
        lambda name, p: name == "cart" and p.get("n", 0) > 1,
        lambda name, _: name == "view",
        lambda name, _: name == "buy",
    ]
    events, done = [], {arm: ([], [], []) for arm in ARMS}  # type: ignore[var-annotated]
    for arm in ARMS:
        for user in users[arm]:
            own = [
                (float(days), str(random.choice(["view", "cart", "buy", "look"])), {"n": int(random.integers(0, 5))})
                for days in random.uniform(-4, 4, int(random.poisson(22 if arm == "new" else 18)))
            ]
            events += [event(user, name, days, **properties) for days, name, properties in own]
            after = [e for e in own if e[0] >= 0]
            done[arm][0].append(reached(after, rules))
            done[arm][1].append(reached([e for e in after if e[0] < 3], rules))
            done[arm][2].append(reached([e for e in own if e[0] < 0], rules) == len(rules))
    found, quality = publish(pipeline, x, events)
    for number in (0, 1):
        counts = {arm: [sum(d >= s for d in done[arm][number]) for s in (1, 2, 3, 4)] for arm in ARMS}
        assert counts["new"][3] > 0
        for arm in ARMS:
            shown = found[number, arm]["funnel"]
            assert [step[0] for step in shown] == ["view", "cart", "view", "buy"]
            assert [step[1] for step in shown] == counts[arm]
            assert [step[2] for step in shown] == pytest.approx([count / 150 for count in counts[arm]])
            before = [150, *counts[arm][:3]]
            assert [step[3] for step in shown] == pytest.approx(
                [c / b for c, b in zip(counts[arm], before, strict=True)]
            )
            assert (found[number, arm]["sum"], found[number, arm]["users"]) == (counts[arm][3], 150)
        z = two_proportion_z(*(Moments.from_proportion([150], [counts[arm][1]]) for arm in ARMS))
        assert found[number, "new"]["funnel"][1][4:8] == pytest.approx(
            (z.estimate[0], z.low[0], z.high[0], z.p_value[0])
        )
        assert found[number, "new"]["funnel"][3][4:8] == pytest.approx(
            tuple(found[number, "new"][f"abs_{f}"] for f in ("estimate", "low", "high", "p_value"))
        )
    # The history is the same funnel before the assignment.
    cells = [c for c in sufficient_statistics(pipeline.server) if c["experiment_id"] == x and c["metric_position"] == 1]
    assert [round(c["x_mean"] * 150) for c in cells] == [sum(done[arm][2]) for arm in ARMS]
    assert not [w for w in quality["warnings"] if "definition" in w]


def test_a_cap_by_percentile_is_that_of_all_users_together(pipeline: Pipeline) -> None:
    random = np.random.default_rng(10)
    ratio = {"denominator": {"event_type": "session"}, "cap_percentile": 0.9}
    key, x = create(
        pipeline,
        [
            ("mean", "buy", None, {"cap_percentile": 0.9}),
            ("mean", "buy", None, {"cap_percentile": 0.8, "ignore_zeros": True}),
            ("ratio", "buy", "value", ratio),
            ("mean", "buy", None, {"cap_percentile": 0.5}),
        ],
    )
    users = users_of(pipeline, key, 50)
    sums, before, sessions, events = {}, {}, {}, []
    for arm in ARMS:
        for n, user in enumerate(users[arm]):
            sums[user], before[user], sessions[user] = 0.0, 0.0, 0
            if n % 5 < 2:
                for days in (1, 2):
                    value = float(random.lognormal(3, 1.5))
                    sums[user] += value
                    events.append(event(user, "buy", days, value=value))
            if n % 3:
                before[user] = float(random.lognormal(2, 1.5))
                events.append(event(user, "buy", -2, value=before[user]))
            sessions[user] = 1 + n % 4
            events += [event(user, "session", 1 + s / 10) for s in range(sessions[user])]
    found, quality = publish(pipeline, x, events)
    everybody = list(sums.values())
    for number, level, ignore in ((0, 0.9, False), (1, 0.8, True), (2, 0.9, False)):
        cap = percentile_cap(everybody, level, ignore_zeros=ignore)
        for arm in ARMS:
            row = found[number, arm]
            capped = [min(sums[u], cap) for u in users[arm]]
            assert row["cap"] == cap
            assert row["sum"] == pytest.approx(sum(capped), rel=1e-12)
            bottom = sum(sessions[u] for u in users[arm]) if number == 2 else 50
            assert row["mean"] == pytest.approx(sum(capped) / bottom)
    cells = [c for c in sufficient_statistics(pipeline.server) if c["experiment_id"] == x and c["metric_position"] == 1]
    history = percentile_cap(list(before.values()), 0.9)
    assert [c["x_mean"] for c in cells] == pytest.approx(
        [np.mean([min(before[u], history) for u in users[arm]]) for arm in ARMS]
    )
    assert found[3, "new"]["sum"] == 0
    assert any("its cap at percentile 0.5 is 0" in warning for warning in quality["warnings"])


def test_small_counts_get_the_exact_test_and_an_interval_that_agrees(pipeline: Pipeline) -> None:
    key, x = create(pipeline, [("proportion", "buy", None, {}), ("proportion", "look", None, {})])
    users = users_of(pipeline, key, 40)
    bought = {"control": 1, "new": 8}
    events = [event(u, "buy", 1) for arm in ARMS for u in users[arm][: bought[arm]]]
    events += [event(u, "look", 1) for arm in ARMS for u in users[arm][: 10 if arm == "new" else 20]]
    found, quality = publish(pipeline, x, events)
    row = found[0, "new"]
    p_value, test = exact_p_value(40, 1, 40, 8)
    assert (row["test"], row["abs_p_value"], row["rel_p_value"]) == ("barnard", p_value, p_value)
    interval = small_counts(40, 1, 40, 8)
    assert (row["abs_low"], row["abs_high"]) == (interval.low[0], interval.high[0])
    assert (row["abs_low"] > 0) == (p_value < 0.05)
    assert found[1, "new"]["test"] == "z"
    assert sum("the fixed result is exact" in warning for warning in quality["warnings"]) == 1
    assert test == "barnard"


def test_results_of_every_kind_can_be_stored_and_read(pipeline: Pipeline) -> None:
    from neonblue_pipeline.publication import publish as publish_all

    steps = {"steps": [{"event_type": "buy"}]}
    key, x = create(
        pipeline,
        [
            ("funnel", "view", None, steps),
            ("quantile", "buy", None, {"quantile": 0.5}),
            ("mean", "buy", None, {"cap_percentile": 0.9}),
        ],
    )
    users = users_of(pipeline, key, 30)
    events = [event(u, "view", 1) for arm in ARMS for u in users[arm][:25]]
    events += [
        event(u, "buy", 2, value=n) for arm in ARMS for n, u in enumerate(users[arm][: 12 if arm == "new" else 9])
    ]
    publish(pipeline, x, events)
    publish_all(pipeline.server)
    rows = {(r["metric"][-1], r["variant"]): r for r in pipeline.server.read("experiment_results", experiment_id=x)}
    assert [(s["event_type"], s["users"]) for s in rows["0", "new"]["funnel"]] == [("view", 25), ("buy", 12)]
    assert rows["0", "new"]["funnel"][1]["p_value"] is not None
    assert rows["0", "control"]["funnel"][1]["p_value"] is None
    assert (rows["1", "new"]["quantile"], rows["1", "new"]["quantile_value"]) == (0.5, 5)
    assert rows["1", "new"]["funnel"] == []
    assert rows["2", "new"]["cap"] is not None
    assert json.loads(json.dumps(rows["0", "new"]["test"])) == "z"


def test_a_definition_holds_numbers_that_no_64_bits_hold_and_windows_that_no_calendar_does(pipeline: Pipeline) -> None:
    long = 12345678901234567890123

    def having(op: str, value: float) -> dict[str, Any]:
        return {"filters": [{"property": "n", "op": op, "value": value}], "window": {"to_days": 10**20}}

    metrics: list[Metric] = [
        ("mean", "buy", None, {"cap": 10**20}),
        ("mean", "buy", None, having("=", long)),
        ("mean", "buy", None, having("<", -(10**300))),
        ("mean", "buy", None, having(">", 10**20)),
    ]
    key, x = create(pipeline, metrics)
    users = users_of(pipeline, key, 4)
    events = [event(users["new"][0], "buy", 1, value=1, n=long), event(users["new"][1], "buy", 1, value=2, n=-1e301)]
    events += [event(users["new"][2], "buy", 1, value=1e30), event(users["control"][0], "buy", 1, value=4, n=2)]
    publish(pipeline, x, events)
    found = pipeline.clickhouse(
        "select metric, sum(value_sum) from user_rollup where experiment_id = {x:UInt64} group by metric", x=x
    )
    assert {metric.rpartition(".")[2]: total for metric, total in found} == {"0": 1e30, "1": 1, "2": 2, "3": 1}
    caps = {c["metric_position"]: c["cap"] for c in sufficient_statistics(pipeline.server) if c["experiment_id"] == x}
    assert caps == {1: 1e20, 2: None, 3: None, 4: None}
    letters = pipeline.clickhouse("select count() from dead_letters where position(raw, {key:String}) > 0", key=key)
    assert letters == [(0,)]
