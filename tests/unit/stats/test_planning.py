"""Sample size, power and smallest effect against statsmodels, tea-tasting and each other."""

import warnings

import numpy as np
import pytest
import tea_tasting as tt
from statsmodels.stats.power import NormalIndPower
from tea_tasting.aggr import Aggregates

from neonblue_stats import (
    InvalidInput,
    confidence_sequence,
    days_left,
    minimum_detectable_effect,
    power,
    power_so_far,
    sample_size,
)

MEAN, VARIANCE = 10.0, 400.0
SIDES = [("two", "two-sided"), ("greater", "larger")]


@pytest.mark.parametrize(("sided", "alternative"), SIDES)
@pytest.mark.parametrize("lift", [0.01, 0.05, 0.3])
def test_power_of_a_mean_agrees_with_statsmodels(sided, alternative, lift):
    d = lift * MEAN / np.sqrt(VARIANCE)
    theirs = NormalIndPower().power(d, 1500, 0.05, alternative=alternative)
    assert float(power(3000, MEAN, lift, VARIANCE, sided=sided)) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize(("sided", "alternative"), SIDES)
def test_sample_size_of_a_mean_agrees_with_statsmodels(sided, alternative):
    d = 0.05 * MEAN / np.sqrt(VARIANCE)
    each = NormalIndPower().solve_power(d, power=0.9, alpha=0.05, alternative=alternative)
    assert float(sample_size(MEAN, 0.05, VARIANCE, power=0.9, sided=sided)) == 2 * np.ceil(each)


def test_power_and_smallest_effect_agree_with_tea_tasting():
    data = Aggregates(count_=3000, mean_={"y": MEAN}, var_={"y": VARIANCE})
    metric = tt.Mean("y", use_t=False, equal_var=False, alpha=0.05, power=0.8, rel_effect_size=0.2, n_obs=3000)
    assert float(power(3000, MEAN, 0.2, VARIANCE)) == pytest.approx(
        metric.solve_power_from_aggregates(data, "power")[0].power, rel=1e-9
    )
    solved = tt.Mean("y", use_t=False, equal_var=False, alpha=0.05, power=0.8, n_obs=3000)
    theirs = solved.solve_power_from_aggregates(data, "rel_effect_size")[0].rel_effect_size
    assert float(minimum_detectable_effect(3000, MEAN, VARIANCE)) == pytest.approx(theirs, rel=1e-8)


def test_sample_size_of_a_proportion_is_the_textbook_formula():
    p, q = 0.10, 0.11
    each = (1.959963984540054 + 0.8416212335729143) ** 2 * (p * (1 - p) + q * (1 - q)) / 0.01**2
    assert float(sample_size(p, 0.1, metric="proportion")) == 2 * np.ceil(each)
    assert float(sample_size(p, 0.01, metric="proportion", relative=False)) == 2 * np.ceil(each)


@pytest.mark.parametrize("metric", ["mean", "proportion"])
@pytest.mark.parametrize("sided", ["two", "greater", "less"])
@pytest.mark.parametrize("tuning", [None, 20_000.0])
@pytest.mark.parametrize("variants", [2, 4])
def test_size_power_and_smallest_effect_lead_back_to_each_other(metric, sided, tuning, variants):
    mean, variance = (0.2, None) if metric == "proportion" else (MEAN, VARIANCE)
    settings = {
        "metric": metric, "sided": sided, "sequential_tuning_n": tuning, "variants": variants,
        "comparisons": variants - 1, "variance_reduction": 0.3,
    }  # fmt: skip
    lift = minimum_detectable_effect(60_000, mean, variance, power=0.85, **settings)
    assert (lift < 0) == (sided == "less")
    assert float(power(60_000, mean, lift, variance, **settings)) == pytest.approx(0.85, abs=1e-9)
    n = float(sample_size(mean, lift, variance, power=0.85, **settings))
    assert n == pytest.approx(60_000, abs=2 * variants)
    assert float(power(n, mean, lift, variance, **settings)) >= 0.85 - 1e-9
    assert n % variants == 0


def test_cuped_saves_the_share_of_users_that_it_removes_of_the_variance():
    plain, adjusted = (float(sample_size(MEAN, 0.02, VARIANCE, variance_reduction=r)) for r in (0.0, 0.4))
    assert adjusted == pytest.approx(0.6 * plain, rel=1e-4)


def test_a_sequential_test_needs_more_users_than_a_fixed_one():
    fixed = float(sample_size(MEAN, 0.02, VARIANCE))
    tuned = float(sample_size(MEAN, 0.02, VARIANCE, sequential_tuning_n=fixed))
    assert 1.5 * fixed < tuned < 3.0 * fixed
    # at that size the half-width of the sequence is the effect less what chance adds at this power
    se = np.sqrt(2 * VARIANCE / (tuned / 2))
    half = float(confidence_sequence(0.0, se, tuned, tuning_n=fixed).high)
    assert (0.02 * MEAN - half) / se == pytest.approx(0.8416, abs=1e-3)


def test_effects_that_cannot_be_planned_for_are_nan_or_infinite():
    assert np.isinf(sample_size(MEAN, 0.0, VARIANCE))
    assert np.isnan(sample_size(0.9, 0.2, metric="proportion"))
    assert np.isnan(sample_size(MEAN, 0.1, VARIANCE, sided="less"))
    assert np.isnan(minimum_detectable_effect(1000, 0.0, VARIANCE))
    assert np.isnan(minimum_detectable_effect(10, 0.9, metric="proportion"))


def test_many_plans_are_answered_at_once():
    n = sample_size([10.0, 20.0], np.array([[0.01], [0.05]]), 400.0)
    assert n.shape == (2, 2)
    assert float(n[1, 0]) == float(sample_size(10.0, 0.05, 400.0))


def test_power_so_far_is_the_power_of_the_standard_error_at_hand():
    se = np.sqrt(2 * VARIANCE / 1500)
    assert float(power_so_far(se, 0.2 * MEAN)) == pytest.approx(float(power(3000, MEAN, 0.2, VARIANCE)), rel=1e-12)
    half_way = power_so_far(se * np.sqrt(2), 0.2 * MEAN, share_of_final=0.5)
    assert float(half_way) == pytest.approx(float(power(3000, MEAN, 0.2, VARIANCE)), rel=1e-12)
    assert np.isnan(power_so_far(0.0, 1.0))


def test_days_left_are_whole_and_zero_when_done():
    assert days_left([1000, 1000, 1000], [1000, 1, 1], [50, 100, 0]).tolist() == [0.0, 10.0, np.inf]


def test_impossible_plans_are_refused():
    with pytest.raises(InvalidInput, match="variance"):
        sample_size(MEAN, 0.1, -1.0)
    with pytest.raises(InvalidInput, match="variance"):
        sample_size(MEAN, 0.1)
    with pytest.raises(InvalidInput, match="proportion"):
        sample_size(1.2, 0.1, metric="proportion")
    with pytest.raises(InvalidInput, match="variance_reduction"):
        sample_size(MEAN, 0.1, 1.0, variance_reduction=1.0)


def test_numbers_beyond_all_measure_plan_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sample_size(-3.0, -1e308, 1.0) == 2
        assert power(1e12, 0.5, 1e-9, 1.7e308) == pytest.approx(0.05)
