"""What only some kinds of metrics have in their results, from rows of sufficient statistics."""

from typing import Any

import numpy as np
import pytest

from neonblue_pipeline.comparisons import compare
from neonblue_pipeline.metric_definitions import problems
from tests.unit.pipeline.test_significance import cell, quality, results

STEPS = '{"steps": [{"event_type": "cart"}, {"event_type": "buy"}]}'


def counted(variant: int, users: int, done: int, kind: str = "proportion", **given: Any) -> dict[str, Any]:
    squares = done * (users - done) / users
    return cell(variant, kind=kind, users=users, sum=float(done), mean=done / users, centred_squares=squares, **given)


def funnel(variant: int, users: int, reached: list[int]) -> dict[str, Any]:
    given = {"definition": STEPS, "steps": 3, "event_type": "view", "reached": reached}
    return counted(variant, users, reached[-1] if reached else 0, "funnel", **given)


def quantile(variant: int, value: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    figures = {"quantile_values": 900, "quantile_value": value, "quantile_low": low, "quantile_high": high}
    return cell(
        variant, kind="quantile", users=500, mean=1.0, centred_squares=9.0, definition='{"quantile": 0.9}', **figures
    )


def test_large_counts_have_the_normal_law_and_small_ones_the_exact_test_and_each_row_says_which() -> None:
    for users, done, test in ((4000, (400, 460), "z"), (40, (1, 7), "barnard"), (10_000, (1, 8), "fisher")):
        row = results([counted(v, users, x) for v, x in zip((1, 2), done, strict=True)])[1]
        assert row["test"] == test
        assert (row["abs_p_value"] < 0.05) == (row["abs_low"] > 0)
        assert (row["rel_p_value"] < 0.05) == (row["rel_low"] > 0)
        assert row["adjusted_p_value"] == row["abs_p_value"]


def test_where_nobody_succeeded_the_exact_test_still_has_an_interval_and_no_lift() -> None:
    row = results([counted(v, 40, 0) for v in (1, 2)])[1]
    assert (row["abs_p_value"], row["test"]) == (1, "barnard")
    assert row["abs_low"] < 0 < row["abs_high"]
    assert (row["rel_estimate"], row["rel_low"]) == (None, None)


def test_a_metric_that_nobody_could_do_yet_has_no_test() -> None:
    row = results([counted(v, 40, 0, active=0) for v in (1, 2)])[1]
    assert (row["abs_p_value"], row["test"]) == (None, None)


def test_funnels_of_different_lengths_are_compared_together_and_each_shows_its_own_steps() -> None:
    long = [funnel(1, 1000, [500, 300, 100]), funnel(2, 1000, [520, 330, 140])]
    short = [
        counted(v, 1000, n, "funnel", metric="s", metric_position=2, steps=2, event_type="view", reached=[600, n])
        | {"definition": '{"steps": [{"event_type": "buy"}]}'}
        for v, n in ((1, 200), (2, 260))
    ]
    rows = {(r["metric"], r["variant_id"]): r for r in results([*long, *short])}
    assert [(s[0], s[1]) for s in rows["m", 2]["funnel"]] == [("view", 520), ("cart", 330), ("buy", 140)]
    assert [(s[0], s[1], s[2]) for s in rows["s", 2]["funnel"]] == [("view", 600, 0.6), ("buy", 260, 0.26)]
    last = rows["m", 2]["funnel"][2]
    figures = tuple(rows["m", 2][f"abs_{name}"] for name in ("estimate", "low", "high", "p_value"))
    assert last[4:8] == pytest.approx(figures)
    assert last[3] == pytest.approx(140 / 330)
    assert last[8] == pytest.approx(140 / 330 - 100 / 300)
    assert rows["m", 1]["funnel"][2][4:] == (None,) * 8


def test_a_funnel_with_more_users_than_are_compared_any_more_is_no_error() -> None:
    rows = results([funnel(1, 10, [12, 4, 1]), funnel(2, 10, [])])
    assert [step[1] for step in rows[0]["funnel"]] == [10, 4, 1]
    assert [step[1] for step in rows[1]["funnel"]] == [0, 0, 0]


def test_a_quantile_is_compared_by_its_interval_and_says_why_it_has_none() -> None:
    cells = [quantile(1, 200.0, 190.0, 210.0), quantile(2, 230.0, 218.0, 242.0)]
    row = results(cells)[1]
    se = np.hypot(20 / (2 * 1.959964), 24 / (2 * 1.959964))
    assert row["abs_estimate"] == 30
    assert row["abs_high"] - row["abs_low"] == pytest.approx(2 * 1.959964 * se)
    assert row["rel_estimate"] == pytest.approx(0.15)
    assert (row["quantile"], row["quantile_values"], row["test"]) == (0.9, 900, "quantile")
    assert row["cuped_abs_estimate"] is None
    few = quality([cells[0], quantile(2, 230.0, None, None)])[0]["warnings"]
    assert any("900 values are too few for an interval of the quantile 0.9" in warning for warning in few)
    flat = quality([cells[0], quantile(2, 230.0, 230.0, 230.0)])[0]["warnings"]
    assert any("the values around its quantile are all 230" in warning for warning in flat)
    nothing = results([cells[0], quantile(2, None, None, None)])[1]
    assert (nothing["abs_estimate"], nothing["test"]) == (None, None)


def test_a_quantile_that_jumps_between_equal_values_has_no_verdict_and_says_why() -> None:
    """Stars of 1 to 5, half of them 3 or less: every sample's median is 3 or 4, whatever the variants do."""
    for control, treatment in (((3.0, 3.0, 4.0), (4.0, 3.0, 4.0)), ((4.0, 3.0, 4.0), (3.0, 3.0, 3.0))):
        cells = [quantile(1, *control), quantile(2, *treatment)]
        row, told = results(cells)[1], quality(cells)[0]
        assert row["abs_p_value"] > 0.05 - 1e-9
        assert row["rel_p_value"] > 0.05 - 1e-9
        assert row["seq_rel_p_value"] > 0.4
        assert told["decisions"][0][1] == "keep_running"
        assert any("many of its values are" in warning for warning in told["warnings"])
    smooth = quality([quantile(1, 200.0, 190.0, 210.0), quantile(2, 230.0, 218.0, 242.0)])[0]["warnings"]
    assert not any("many of its values" in warning for warning in smooth)


@pytest.mark.parametrize(
    ("kind", "definition", "said"),
    [
        ("quantile", "{}", "a quantile needs its level"),
        ("quantile", '{"quantile": 90}', "above 0 and below 1"),
        ("quantile", '{"quantile": 0.5, "of": "sessions"}', "neither events nor users"),
        ("mean", '{"cap_percentile": 99}', "cap_percentile 99 is not applied"),
        ("funnel", '{"steps": ["buy"]}', "a funnel needs its further steps"),
        ("funnel", '{"steps": [{"event_type": "x", "filters": [{"property": "p"}]}]}', "lets no event pass"),
        ("funnel", '{"steps": [{"event_type": "x"}], "cap": 3}', "the field cap"),
    ],
)
def test_what_of_a_definition_is_not_applied_is_told(kind: str, definition: str, said: str) -> None:
    assert any(said in sentence for sentence in problems(kind, definition))


def test_segments_whose_rows_know_no_steps_or_quantiles_are_compared_by_what_they_know() -> None:
    cells = [counted(v, 50, n, "funnel", definition=STEPS) for v, n in ((1, 2), (2, 6))]
    cells += [cell(v, "q", "quantile", users=50, mean=1.0, centred_squares=9.0) for v in (1, 2)]
    funnels, quantiles = compare(cells, exact=False)
    assert (funnels.test, funnels.steps) == ("z", [])
    assert funnels.figures["abs_estimate"] == pytest.approx(0.08)
    assert quantiles.figures["abs_estimate"] is None
