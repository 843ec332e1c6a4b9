"""What is decided from which results, and what is said about it."""

import math

import pytest

from neonblue_stats import InvalidInput, MetricResult, Trust, decide


def metric(name="revenue", role="target", direction="increase", low=0.01, high=0.05, **more):
    return MetricResult(name, role, direction, (low + high) / 2, low, high, **more)


FLAT = {"low": -0.01, "high": 0.01}


def test_a_better_target_with_safe_guardrails_ships():
    ours = decide([metric(), metric("crashes", "guardrail", "decrease", -0.02, 0.004, margin=0.01)])
    assert ours.verdict == "ship"
    assert "revenue is better: +3.00%" in ours.reasons[0]
    assert "crashes stays within its margin" in ours.reasons[1]
    assert "lower is better" in ours.reasons[1]


def test_a_target_that_falls_is_a_win_where_lower_is_better():
    assert decide([metric(direction="decrease", low=-0.05, high=-0.01)]).verdict == "ship"
    assert decide([metric(direction="decrease", low=0.01, high=0.05)]).verdict == "roll_back"


def test_a_guardrail_beyond_its_margin_rolls_back_even_when_the_target_wins():
    ours = decide([metric(), metric("latency", "guardrail", "decrease", 0.06, 0.09, margin=0.05)])
    assert ours.verdict == "roll_back"
    assert "latency loses more than the margin allows" in ours.reasons[0]


def test_a_guardrail_not_yet_shown_safe_keeps_a_winner_waiting():
    ours = decide([metric(), metric("latency", "guardrail", "decrease", -0.01, 0.09, margin=0.05)])
    assert ours.verdict == "keep_running"
    assert any("latency: more users" in line for line in ours.would_change)


def test_targets_that_disagree_are_left_to_people():
    ours = decide([metric("a"), metric("b", low=-0.05, high=-0.01)])
    assert ours.verdict == "keep_running"
    assert len(ours.reasons) == 2


@pytest.mark.parametrize("more", [{"mde": 0.03, "power": math.nan}, {"mde": 0.005, "power": 0.85}])
def test_nothing_moved_with_enough_power_or_a_narrow_interval_is_no_effect(more):
    assert decide([metric(**FLAT, **more)]).verdict == "no_effect"


def test_nothing_moved_with_too_little_power_keeps_running_and_says_how_little():
    ours = decide([metric(**FLAT, mde=0.005, power=0.41)])
    assert ours.verdict == "keep_running"
    assert "41% of 80% wanted" in ours.reasons[0]


def test_no_effect_is_never_said_when_nobody_said_which_effect_matters():
    ours = decide([metric(**FLAT)])
    assert ours.verdict == "keep_running"
    assert "Nobody said" in ours.reasons[0]


@pytest.mark.parametrize(
    ("trust", "word"),
    [
        (Trust(sample_ratio_p_value=1e-5), "Sample ratio mismatch"),
        (Trust(crossed_share=0.02), "2.0% of the users"),
        (Trust(pre_period_imbalanced=True), "already differed"),
        (Trust(other_doubts=("Exposures are missing.",)), "Exposures are missing"),
    ],
)
def test_data_that_fail_a_check_decide_nothing(trust, word):
    ours = decide([metric()], trust)
    assert ours.verdict == "not_trusted"
    assert word in ours.reasons[0]


def test_checks_that_pass_do_not_stand_in_the_way():
    assert decide([metric()], Trust(sample_ratio_p_value=0.4, crossed_share=0.001)).verdict == "ship"


def test_fixed_intervals_before_the_planned_end_decide_nothing():
    assert decide([metric()], final=False).verdict == "keep_running"


def test_undefined_results_and_missing_targets_keep_running():
    undefined = metric(low=math.nan, high=math.nan)
    assert decide([undefined]).verdict == "keep_running"
    assert "cannot be measured" in decide([undefined]).reasons[0]
    assert decide([metric(role="secondary")]).verdict == "keep_running"


def test_a_negative_margin_is_refused_by_name():
    with pytest.raises(InvalidInput, match="latency"):
        decide([metric("latency", "guardrail", margin=-0.1)])
