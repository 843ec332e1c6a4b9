"""From sufficient statistics to rows of results: held against scipy on raw values, and the cases without an answer."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from scipy import stats

from neonblue_pipeline.significance import QUALITY_COLUMNS, RESULT_COLUMNS, analyse

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def cell(variant: int, metric: str | None = "m", kind: str = "mean", users: int = 0, **given: Any) -> dict[str, Any]:
    """A row of sufficient_statistics; variant 1 is the control."""
    return {
        "experiment_id": 7,
        "cutoff_at": NOW,
        "metric": metric or "",
        "metric_position": 1,
        "kind": kind,
        "direction": "increase",
        "role": "target",
        "definition": "{}",
        "variant_id": variant,
        "variant_position": variant,
        "variant": "control" if variant == 1 else f"treatment_{variant}",
        "weight": 0.5,
        "is_control": variant == 1,
        "assigned": users,
        "users": users,
        "active": users,
        "sum": 0.0,
        "mean": float("nan"),
        "centred_squares": float("nan"),
        "history_users": 0,
        "denominator_sum": 0.0,
        **dict.fromkeys(("d_mean", "x_mean", "z_mean"), 0.0),
        **dict.fromkeys(("dd", "xx", "zz", "yd", "yx", "yz", "dx", "dz", "xz"), 0.0),
    } | given


def cell_of(variant: int, values: np.ndarray, **given: Any) -> dict[str, Any]:
    mean = values.mean()
    squares = ((values - mean) ** 2).sum()
    return cell(variant, users=len(values), sum=values.sum(), mean=mean, centred_squares=squares, **given)


def results(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [dict(zip(RESULT_COLUMNS, row, strict=True)) for row in analyse(cells)[0]]


def quality(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [dict(zip(QUALITY_COLUMNS, row, strict=True)) for row in analyse(cells)[1]]


def test_revenue_around_a_billion_is_compared_as_scipy_compares_the_raw_values() -> None:
    random = np.random.default_rng(1)
    control, treatment = 1e9 + random.normal(0, 1, 500), 1e9 + random.normal(0.2, 1, 700)
    row = results([cell_of(1, control), cell_of(2, treatment)])[1]
    expected = stats.ttest_ind(treatment, control, equal_var=False)
    assert row["abs_p_value"] == pytest.approx(expected.pvalue, rel=1e-6)
    assert row["abs_low"] == pytest.approx(expected.confidence_interval().low, rel=1e-6)


def test_each_variant_is_compared_with_the_control_of_its_own_metric() -> None:
    cells = [
        cell_of(v, np.array(x, dtype=float), metric=m, metric_position=p)
        for p, m, arms in (
            (1, "a", ([1, 2, 3], [2, 3, 4], [5, 6, 7])),
            (2, "b", ([10, 11, 12], [10, 12, 14], [0, 0, 1])),
        )
        for v, x in enumerate(arms, start=1)
    ]
    rows = results(cells)
    assert [(r["metric"], r["variant_id"], r["abs_estimate"]) for r in rows if not r["is_control"]] == [
        ("a", 2, pytest.approx(1)),
        ("a", 3, pytest.approx(4)),
        ("b", 2, pytest.approx(1)),
        ("b", 3, pytest.approx(-32 / 3)),
    ]
    assert all(r["abs_estimate"] is None for r in rows if r["is_control"])


def test_undefined_figures_are_none_and_never_an_error() -> None:
    empty = results([cell(1), cell(2)])
    assert {row["mean"] for row in empty} == {None}
    assert {row["abs_p_value"] for row in empty} == {None}
    alone = results([cell_of(1, np.array([1.0, 2.0]))])
    assert alone[0]["mean"] == 1.5


@pytest.mark.parametrize(
    ("cells", "warning"),
    [
        ([cell(1), cell(2)], "no users assigned yet"),
        ([cell_of(1, np.ones(5))], "1 variant: there is nothing to compare"),
        ([cell_of(2, np.ones(5)), cell_of(3, np.ones(5))], "no variant is marked as control: effects have no base"),
        ([cell(1, metric=None, users=5), cell(2, metric=None, users=5)], "no metrics: add one to see effects"),
        ([cell(1, users=5, active=0), cell(2, users=5, active=0)], "metric m: never measured"),
        ([cell(1, users=5, kind="median"), cell(2, users=5, kind="median")], "metric m: kind 'median' is not computed"),
        (
            [cell(v, users=50, kind="proportion", sum=3, mean=0.06, centred_squares=2.8) for v in (1, 2)],
            "metric m: fewer than 5 successes or failures expected",
        ),
        (
            [cell(1, users=50, assigned=60), cell(2, users=50, assigned=50)],
            "metric m: 10 of 110 users are not compared",
        ),
        (
            [cell(v, users=5, definition='{"window": {"to_days": 0}}') for v in (1, 2)],
            'metric m: its window {"to_days": 0} cannot be read',
        ),
        ([cell(1, users=5, sum=float("inf")), cell(2, users=5)], "metric m: values too large to add up in a float"),
    ],
)
def test_what_a_reader_must_know_is_a_warning(cells: list[dict[str, Any]], warning: str) -> None:
    warnings = quality(cells)[0]["warnings"]
    assert any(found.startswith(warning) for found in warnings), warnings


def test_the_split_of_the_demo_raises_no_alarm_and_one_twice_as_uneven_does() -> None:
    split = quality([cell(1, users=44_700), cell(2, users=45_489)])[0]
    assert split["sample_ratio_p_value"] == pytest.approx(0.0086, abs=5e-5)
    assert not split["sample_ratio_mismatch"]
    uneven = quality([cell(1, users=44_300), cell(2, users=45_889)])[0]
    assert uneven["sample_ratio_mismatch"]
    assert any("sample ratio mismatch" in warning for warning in uneven["warnings"])


def test_the_other_methods_are_those_of_the_statistics_on_the_same_effect() -> None:
    random = np.random.default_rng(2)
    control, treatment = random.normal(5, 2, 4000), random.normal(5.2, 2, 4100)
    row = results([cell_of(1, control), cell_of(2, treatment)])[1]
    d = treatment.mean() - control.mean()
    se = np.sqrt(treatment.var(ddof=1) / 4100 + control.var(ddof=1) / 4000)
    # By hand: Waudby-Smith et al., eq. 9 with rho of eq. 161; and the normal law.
    rho2 = (-2 * np.log(0.05) + np.log(1 - 2 * np.log(0.05))) / 5000
    root = 8100 * rho2 + 1
    half = se * np.sqrt(2 * root / (8100 * rho2) * np.log(np.sqrt(root) / 0.05))
    assert (row["seq_abs_low"], row["seq_abs_high"]) == (pytest.approx(d - half), pytest.approx(d + half))
    assert row["seq_abs_low"] < row["abs_low"]
    assert row["bayes_abs_chance_to_win"] == pytest.approx(stats.norm.cdf(d / se))
    z = d / se
    assert row["bayes_abs_expected_loss"] == pytest.approx(se * (stats.norm.pdf(z) - z * stats.norm.sf(z)), rel=1e-6)


def test_where_lower_is_better_the_chance_to_win_is_that_of_a_fall() -> None:
    arms = [np.arange(10.0), np.arange(10.0) + 3]
    up = results([cell_of(v, a) for v, a in enumerate(arms, 1)])[1]
    down = results([cell_of(v, a, direction="decrease") for v, a in enumerate(arms, 1)])[1]
    assert up["bayes_abs_chance_to_win"] > 0.5
    assert down["bayes_abs_chance_to_win"] == pytest.approx(1 - up["bayes_abs_chance_to_win"])


def test_p_values_are_adjusted_over_targets_and_secondary_metrics_of_one_experiment_and_guardrails_kept_out() -> None:
    random = np.random.default_rng(3)
    shifts = {"a": (0.25, "target"), "b": (0.2, "secondary"), "c": (0.0, "secondary"), "g": (0.2, "guardrail")}
    cells = [
        cell_of(v, random.normal(10 + (v - 1) * shift, 1, 300), metric=m, metric_position=p, role=role)
        for p, (m, (shift, role)) in enumerate(shifts.items())
        for v in (1, 2)
    ]
    alone = [c | {"experiment_id": 8} for c in cells[:2]]
    rows = results([*cells, *alone])
    by = {(r["experiment_id"], r["metric"]): r for r in rows if not r["is_control"]}
    family = [by[7, m]["abs_p_value"] for m in "abc"]
    order = sorted(range(3), key=lambda i: family[i])
    expected, most = {}, 0.0
    for rank, i in enumerate(order):
        most = max(most, min(1.0, family[i] * (3 - rank)))
        expected["abc"[i]] = most
    assert {m: by[7, m]["adjusted_p_value"] for m in "abc"} == pytest.approx(expected)
    assert by[7, "g"]["adjusted_p_value"] is None
    assert by[8, "a"]["adjusted_p_value"] == by[8, "a"]["abs_p_value"]


def decisions(cells: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(d[0], d[1]) for d in quality(cells)[0]["decisions"]]


def arms(difference: float, metric: str, position: int, **given: Any) -> list[dict[str, Any]]:
    """Control and treatment of 20,000 users each, standard deviation 1 around 10."""
    n = 20_000
    return [
        cell(v, metric, users=n, sum=n * m, mean=m, centred_squares=n - 1.0, metric_position=position, **given)
        for v, m in ((1, 10.0), (2, 10.0 + difference))
    ]


def test_the_decision_follows_targets_guardrails_and_the_split() -> None:
    better, worse = arms(0.1, "m", 1), arms(-0.1, "m", 1)
    assert decisions(better) == [("treatment_2", "ship")]
    assert decisions(worse) == [("treatment_2", "roll_back")]
    assert decisions([c | {"direction": "decrease"} for c in worse]) == [("treatment_2", "ship")]
    assert decisions(arms(0.001, "m", 1)) == [("treatment_2", "keep_running")]
    assert decisions(arms(0.001, "m", 1, definition='{"minimum_effect": 0.02}')) == [("treatment_2", "no_effect")]
    hurt = arms(-0.5, "g", 2, role="guardrail")
    assert decisions(better + hurt) == [("treatment_2", "roll_back")]
    spared = arms(-0.5, "g", 2, role="guardrail", definition='{"margin": 0.1}')
    assert decisions(better + spared) == [("treatment_2", "ship")]
    uneven = [c | {"assigned": c["users"] - (2000 if c["is_control"] else 0)} for c in better]
    assert decisions(uneven) == [("treatment_2", "not_trusted")]


def test_a_decision_says_why_and_what_would_change_it() -> None:
    variant, verdict, reasons, would_change = quality(arms(0.001, "m", 1))[0]["decisions"][0]
    assert (variant, verdict) == ("treatment_2", "keep_running")
    assert "m is not decided: +0.01%" in reasons[0]
    assert would_change


def test_without_users_or_events_there_is_no_verdict_but_to_keep_running() -> None:
    assert decisions([cell(1), cell(2)]) == [("treatment_2", "keep_running")]
    assert decisions([cell(1, metric=None, users=5), cell(2, metric=None, users=5)]) == []
