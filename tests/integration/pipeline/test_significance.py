"""Metric definitions and CUPED on real servers: from events to results, held against the raw values."""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from scipy import stats

from neonblue_pipeline import publication
from neonblue_pipeline.publication import sufficient_statistics
from neonblue_pipeline.significance import QUALITY_COLUMNS, RESULT_COLUMNS, analyse
from tests.integration.pipeline.conftest import Pipeline, SmallPortions

ASSIGNED = datetime(2026, 3, 10, 12, tzinfo=UTC)
ARMS = ("control", "new")
Metric = tuple[str, str, str | None, dict[str, Any]]


def create(pipeline: Pipeline, metrics: Sequence[Metric]) -> tuple[str, int]:
    """An experiment whose metrics (kind, event type, property, definition) are KEY.0, KEY.1, ..."""
    key, x = pipeline.create_experiment([(kind, event_type, value) for kind, event_type, value, _ in metrics])
    for position, (*_, definition) in enumerate(metrics):
        pipeline.postgres(
            "update metrics set definition = %s where key = %s", (json.dumps(definition), f"{key}.{position}")
        )
    pipeline.postgres("select publish_experiment(%s)", (x,))
    return key, x


def users_of(pipeline: Pipeline, key: str, each: int) -> dict[str, list[str]]:
    users = {arm: [f"{arm}{n}-{key}" for n in range(each)] for arm in ARMS}
    pipeline.assign(key, {user: arm for arm in ARMS for user in users[arm]}, assigned_at=ASSIGNED.isoformat())
    return users


def event(user: str, event_type: str, days: float, **properties: Any) -> dict[str, Any]:
    """An event so many days after the assignment, or before it."""
    at = (ASSIGNED + timedelta(days=days)).isoformat()
    return {"user_id": user, "event_type": event_type, "timestamp": at, "properties": properties}


def publish(pipeline: Pipeline, x: int, events: Sequence[dict[str, Any]]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Results by (number of the metric, variant), and the quality, after these events."""
    pipeline.await_events(pipeline.send(events))
    pipeline.await_everything()
    pipeline.build()
    cells = [c for c in sufficient_statistics(pipeline.server) if c["experiment_id"] == x]
    results, quality = analyse(cells)
    rows = [dict(zip(RESULT_COLUMNS, row, strict=True)) for row in results]
    found = {(int(row["metric"].rpartition(".")[2]), row["variant"]): row for row in rows}
    return found, dict(zip(QUALITY_COLUMNS, quality[0], strict=True))


def test_cuped_takes_away_what_users_spent_before(pipeline: Pipeline) -> None:
    random = np.random.default_rng(5)
    key, x = create(pipeline, [("mean", "buy", None, {}), ("proportion", "buy", None, {})])
    users = users_of(pipeline, key, 60)
    events, after, before = [], defaultdict(float), defaultdict(float)
    for arm in ARMS:
        for n, user in enumerate(users[arm]):
            level = float(random.gamma(3, 4))
            if n % 5:  # every fifth has no history
                before[user] = level
                events.append(event(user, "buy", -float(random.uniform(0.1, 13.9)), value=level))
            after[user] = level + float(random.normal(2 if arm == "new" else 0, 1))
            events.append(event(user, "buy", 1, value=after[user]))
            # None of these is history of this metric within 14 days.
            events += [event(user, "buy", -14.1, value=1e6), event(user, "look", -1, value=1e6)]
    found, quality = publish(pipeline, x, events)
    y = {arm: np.array([after[u] for u in users[arm]]) for arm in ARMS}
    h = {arm: np.array([before[u] for u in users[arm]]) for arm in ARMS}
    row = found[0, "new"]
    assert row["mean"] == pytest.approx(y["new"].mean())
    assert row["abs_p_value"] == pytest.approx(
        stats.ttest_ind(y["new"], y["control"], equal_var=False).pvalue, rel=1e-6
    )
    assert (row["history_users"], row["users"]) == (48, 60)
    both = np.cov(np.concatenate([y[a] for a in ARMS]), np.concatenate([h[a] for a in ARMS]))
    theta = both[0, 1] / both[1, 1]
    adjusted = {arm: y[arm] - theta * h[arm] for arm in ARMS}
    expected = stats.ttest_ind(adjusted["new"], adjusted["control"], equal_var=False)
    assert row["cuped_abs_estimate"] == pytest.approx(adjusted["new"].mean() - adjusted["control"].mean())
    assert row["cuped_abs_p_value"] == pytest.approx(expected.pvalue, rel=1e-6)
    removed = 1 - sum(adjusted[a].var(ddof=1) for a in ARMS) / sum(y[a].var(ddof=1) for a in ARMS)
    assert row["cuped_variance_removed"] == pytest.approx(removed)
    assert row["cuped_rel_estimate"] == pytest.approx(row["cuped_abs_estimate"] / y["control"].mean())
    assert row["cuped_rel_high"] - row["cuped_rel_low"] < row["rel_high"] - row["rel_low"]
    # Everybody bought: nothing varies, and nothing is made up.
    assert found[1, "new"]["mean"] == 1
    assert found[1, "new"]["cuped_abs_p_value"] is None
    assert not any("differed" in reason for d in quality["decisions"] for reason in d[2])


def test_cuped_of_a_proportion_knows_who_did_it_before_since_and_both(pipeline: Pipeline) -> None:
    random = np.random.default_rng(8)
    key, x = create(pipeline, [("proportion", "buy", None, {})])
    users = users_of(pipeline, key, 60)
    days = {"before": (-3.0, -2.0), "since": (1.0, 2.0, 2.5), "both": (-2.0, -1.0, 0.1, 3.0), "never": ()}
    events, kinds = [], {}
    for arm, shares in (("control", (0.2, 0.1, 0.4, 0.3)), ("new", (0.1, 0.2, 0.5, 0.2))):
        kinds[arm] = random.choice(list(days), 60, p=shares)
        events += [event(u, "buy", day) for u, kind in zip(users[arm], kinds[arm], strict=True) for day in days[kind]]
    # On the day of the assignment, one before and one since: a row that is both.
    events += [event(users["new"][0], "buy", -0.1), event(users["new"][0], "buy", 0.1)]
    kinds["new"][0] = "both"
    row = publish(pipeline, x, events)[0][0, "new"]
    y = {arm: np.isin(kinds[arm], ("since", "both")).astype(float) for arm in ARMS}
    h = {arm: np.isin(kinds[arm], ("before", "both")).astype(float) for arm in ARMS}
    assert (row["mean"], row["history_users"]) == (pytest.approx(y["new"].mean()), h["new"].sum())
    both = np.cov(np.concatenate([y[a] for a in ARMS]), np.concatenate([h[a] for a in ARMS]))
    adjusted = {arm: y[arm] - both[0, 1] / both[1, 1] * h[arm] for arm in ARMS}
    expected = stats.ttest_ind(adjusted["new"], adjusted["control"], equal_var=False)
    assert row["cuped_abs_estimate"] == pytest.approx(adjusted["new"].mean() - adjusted["control"].mean())
    assert row["cuped_abs_p_value"] == pytest.approx(expected.pvalue, rel=1e-6)


def test_without_history_cuped_is_left_out_and_the_plain_result_stands(pipeline: Pipeline) -> None:
    key, x = create(pipeline, [("mean", "buy", None, {})])
    users = users_of(pipeline, key, 5)
    events = [event(u, "buy", 1, value=n) for arm in ARMS for n, u in enumerate(users[arm])]
    row = publish(pipeline, x, events)[0][0, "new"]
    assert row["abs_p_value"] is not None
    assert {row[c] for c in RESULT_COLUMNS if c.startswith("cuped")} == {None}


def test_results_do_not_depend_on_the_portions_in_which_users_are_summed(
    pipeline: Pipeline, small_portions: SmallPortions
) -> None:
    made = set()
    for _ in range(2):
        metrics: list[Metric] = [("mean", "buy", None, {}), ("proportion", "click", None, {})]
        metrics += [("mean", "buy", None, {"cap_percentile": 0.9}), ("quantile", "buy", None, {"quantile": 0.5})]
        key, x = create(pipeline, metrics)
        users = users_of(pipeline, key, 20)
        pipeline.send([event(user, "click", 1) for user in users["new"][::2]])
        events = [event(user, "buy", 2, value=0.1 * n) for n, user in enumerate(users["control"] + users["new"])]
        pipeline.await_events(pipeline.send(events))
        made.add(x)
    # Of the last experiment nobody does anything, so that no rollup knows it.
    key, idle = create(pipeline, [("quantile", "never", None, {"quantile": 0.5, "of": "users"})])
    users_of(pipeline, key, 2)
    pipeline.await_everything()
    pipeline.build()

    def cells() -> list[dict[str, Any]]:
        return [cell for cell in sufficient_statistics(pipeline.server) if cell["experiment_id"] in {*made, idle}]

    at_once = cells()
    small_portions(publication, min(made), 17)
    assert cells() == at_once
    summed = [cell for cell in at_once if cell["kind"] != "quantile"]
    assert sum(cell["active"] for cell in summed) == 2 * (20 + 20 + 10 + 20 + 20)
    assert [cell["quantile_value"] for cell in at_once if cell["experiment_id"] == idle] == [0, 0]


def test_history_does_not_count_for_the_effect_nor_in_other_rollups(pipeline: Pipeline) -> None:
    key, x = create(pipeline, [("mean", "buy", None, {}), ("proportion", "buy", None, {})])
    users = users_of(pipeline, key, 2)
    found, _ = publish(pipeline, x, [event(u, "buy", -1, value=3) for u in users["new"]])
    assert (found[0, "new"]["sum"], found[1, "new"]["sum"]) == (0, 0)
    for table in ("hourly_metrics", "daily_metrics", "user_journeys"):
        assert pipeline.rollups(x)[table] == []


def test_variants_that_differed_before_the_start_are_not_trusted(pipeline: Pipeline) -> None:
    key, x = create(pipeline, [("mean", "buy", None, {})])
    users = users_of(pipeline, key, 30)
    events = [
        event(u, "buy", days, value=n % 7 + (20 if arm == "new" else 0))
        for arm in ARMS
        for n, u in enumerate(users[arm])
        for days in (-1, 1)
    ]
    _, quality = publish(pipeline, x, events)
    assert [d[1] for d in quality["decisions"]] == ["not_trusted"]


def test_a_value_out_of_all_proportion_counts_as_the_cap_and_takes_nothing_from_the_others(pipeline: Pipeline) -> None:
    definitions: list[dict[str, Any]] = [{"cap": 1000}, {"cap_percentile": 0.9}]
    key, x = create(pipeline, [("mean", "buy", None, definition) for definition in definitions])
    users = users_of(pipeline, key, 20)
    events = [event(u, "buy", 1, value=100.5 + n) for arm in ARMS for n, u in enumerate(users[arm])]
    events += [event(users["new"][0], "buy", 1, value=3.4e38), event(users["control"][3], "buy", 1, value=-7e30)]
    found, _ = publish(pipeline, x, events[:-1])
    others = sum(100.5 + n for n in range(1, 20))
    assert found[0, "new"]["sum"] == others + 1000
    assert found[0, "control"]["sum"] == others + 100.5
    cap = found[1, "new"]["cap"]
    assert found[1, "new"]["sum"] == sum(min(100.5 + n, cap) for n in range(1, 20)) + cap
    # A cap limits what is above it alone.
    found, _ = publish(pipeline, x, events[-1:])
    assert found[0, "control"]["sum"] == pytest.approx(-7e30)


def test_texts_that_are_no_numbers_are_no_values_however_a_parser_reads_them(pipeline: Pipeline) -> None:
    key, x = create(pipeline, [("mean", "buy", None, {}), ("mean", "buy", "price", {})])
    users = users_of(pipeline, key, 4)
    events = [event(u, "buy", 1, value=2.5, price=3.5) for arm in ARMS for u in users[arm]]
    texts = ("nan", "Infinity", "-inf", "1e400")
    events += [event(u, "buy", 1, value=text, price=text) for u, text in zip(users["new"], texts, strict=True)]
    found, _ = publish(pipeline, x, events)
    assert [found[m, arm]["sum"] for m in (0, 1) for arm in ARMS] == [10, 10, 14, 14]


def test_a_window_longer_than_time_counts_a_hundred_years_and_stops_nobody_s_results(pipeline: Pipeline) -> None:
    forever: dict[str, Any] = {"window": {"to_days": 999999999}}
    key, x = create(pipeline, [("proportion", "buy", None, forever), ("proportion", "buy", None, {})])
    users = users_of(pipeline, key, 4)
    found, _ = publish(pipeline, x, [event(users["new"][0], "buy", 1)])
    assert (found[0, "new"]["users"], found[1, "new"]["users"]) == (0, 4)
    assert found[1, "new"]["sum"] == 1


def test_filters_read_properties_of_the_event(pipeline: Pipeline) -> None:
    conditions = [
        ([{"property": "shop", "op": "=", "value": "de"}], {0, 1, 2}),
        ([{"property": "shop", "op": "!=", "value": "de"}], {3}),
        ([{"property": "value", "op": ">=", "value": 20}], {1, 2, 3}),
        ([{"property": "value", "op": "<", "value": 20}], {0, 4}),
        ([{"property": "shop", "op": "in", "value": ["fr", "it"]}], {3}),
        ([{"property": "gift", "op": "=", "value": True}], {2}),
        ([{"property": "shop", "op": "=", "value": "de"}, {"property": "value", "op": ">", "value": 20}], {2}),
        ([{"property": "missing", "op": "=", "value": ""}], set()),
        ([{"property": "shop", "op": "like", "value": "d%"}], set()),
    ]
    metrics: list[Metric] = [("proportion", "buy", None, {"filters": filters}) for filters, _ in conditions]
    key, x = create(pipeline, [*metrics, ("mean", "buy", None, {"filters": conditions[0][0]})])
    users = users_of(pipeline, key, 6)
    bought: list[dict[str, Any]] = [
        {"shop": "de", "value": 10},
        {"shop": "de", "value": 20},
        {"shop": "de", "value": 30, "gift": True},
        {"shop": "fr", "value": 40},
        {"value": 5},
    ]
    events = [event(users["new"][n], "buy", 1, **properties) for n, properties in enumerate(bought)]
    found, quality = publish(pipeline, x, events)
    assert [found[m, "new"]["sum"] for m in range(len(conditions))] == [len(passing) for _, passing in conditions]
    assert found[len(conditions), "new"]["sum"] == 60
    assert [w for w in quality["warnings"] if "lets no event pass" in w]


def test_a_cap_holds_for_the_sum_of_a_user(pipeline: Pipeline) -> None:
    key, x = create(pipeline, [("mean", "buy", None, {"cap": 50})])
    users = users_of(pipeline, key, 3)
    spent = {0: [30, 30], 1: [10], 2: [1e9]}
    found, _ = publish(
        pipeline, x, [event(users["new"][n], "buy", 1, value=v) for n, values in spent.items() for v in values]
    )
    assert found[0, "new"]["sum"] == 50 + 10 + 50


def test_a_window_counts_only_its_events_and_only_users_whose_window_is_over(pipeline: Pipeline) -> None:
    window = {"window": {"from_days": 0, "to_days": 3}}
    key, x = create(
        pipeline,
        [
            ("proportion", "buy", None, window),
            ("mean", "buy", None, window),
            ("retention", "open", None, {"window": {"from_days": 7, "to_days": 8}}),
        ],
    )
    users = users_of(pipeline, key, 4)
    late = [f"late{n}-{key}" for n in range(2)]
    pipeline.assign(key, dict.fromkeys(late, "new"), assigned_at=datetime.now(UTC).isoformat())
    a, b, c, d = users["new"]
    events = [
        event(a, "buy", 2.9, value=1), event(a, "buy", 3.1, value=10), event(b, "buy", 3, value=100),
        event(a, "open", 7), event(b, "open", 6.9), event(c, "open", 8), event(d, "open", 7.99),
    ]  # fmt: skip
    events += [event(u, "buy", 0, value=1000) | {"timestamp": datetime.now(UTC).isoformat()} for u in late]
    found, quality = publish(pipeline, x, events)
    assert (found[0, "new"]["users"], found[0, "new"]["sum"]) == (4, 1)
    assert (found[1, "new"]["users"], found[1, "new"]["sum"]) == (4, 1)
    assert (found[2, "new"]["users"], found[2, "new"]["sum"]) == (4, 2)
    assert quality["counts"] == {"control": 4, "new": 6}
    assert any("2 of 10 users are not compared yet" in warning for warning in quality["warnings"])


def test_a_ratio_has_the_variance_of_the_delta_method(pipeline: Pipeline) -> None:
    random = np.random.default_rng(6)
    key, x = create(
        pipeline,
        [
            ("ratio", "click", None, {"denominator": {"event_type": "session"}}),
            ("ratio", "buy", "value", {"denominator": {"event_type": "session", "value": "minutes"}}),
        ],
    )
    users = users_of(pipeline, key, 25)
    events, clicks, sessions = [], defaultdict(int), defaultdict(int)
    spent, minutes = defaultdict(float), defaultdict(float)
    for arm in ARMS:
        for user in users[arm]:
            for days in (-2, 1):
                for _ in range(int(random.poisson(3))):
                    length = float(random.integers(1, 30))
                    events.append(event(user, "session", days, minutes=length))
                    if days > 0:
                        sessions[user] += 1
                        minutes[user] += length
                for _ in range(int(random.poisson(2))):
                    events.append(event(user, "click", days))
                    clicks[user] += days > 0
            spent[user] = float(random.normal(1e9, 5))
            events.append(event(user, "buy", 1, value=spent[user]))
    found, quality = publish(pipeline, x, events)
    for number, top, bottom in ((0, clicks, sessions), (1, spent, minutes)):
        ratios, variances = {}, {}
        for arm in ARMS:
            y, d = (np.array([of[u] for u in users[arm]], dtype=float) for of in (top, bottom))
            ratios[arm] = y.sum() / d.sum()
            variances[arm] = ((y - ratios[arm] * d) / d.mean()).var(ddof=1) / len(y)
        row = found[number, "new"]
        assert row["mean"] == pytest.approx(ratios["new"])
        assert row["denominator_sum"] == sum(bottom[u] for u in users["new"])
        z = (ratios["new"] - ratios["control"]) / np.sqrt(sum(variances.values()))
        assert row["abs_estimate"] / (row["abs_high"] - row["abs_low"]) == pytest.approx(
            z / (2 * stats.t.ppf(0.975, welch_df(variances, 25))), rel=1e-6
        )
    assert found[0, "new"]["cuped_variance_removed"] is not None
    assert found[1, "new"]["cuped_variance_removed"] is None  # nobody bought before
    assert not [w for w in quality["warnings"] if "definition" in w]


def welch_df(variances: dict[str, float], n: int) -> float:
    return float(sum(variances.values()) ** 2 / sum(v**2 / (n - 1) for v in variances.values()))


def test_what_a_definition_asks_for_and_is_not_done_is_told(pipeline: Pipeline) -> None:
    key, x = create(
        pipeline,
        [
            ("mean", "buy", None, {"winsorise": 0.99}),
            ("median", "load", None, {}),
            ("ratio", "buy", None, {}),
            ("retention", "open", None, {}),
        ],
    )
    users = users_of(pipeline, key, 2)
    found, quality = publish(pipeline, x, [event(u, "buy", 1, value=1) for u in users["new"]])
    said = "\n".join(quality["warnings"])
    assert f"{key}.0: the field winsorise of its definition is not applied" in said
    assert f"{key}.1: kind 'median' is not computed" in said
    assert f"{key}.2: a ratio needs a denominator" in said
    assert f"{key}.3: a retention needs a window" in said
    assert (found[1, "new"]["mean"], found[2, "new"]["mean"]) == (None, None)
