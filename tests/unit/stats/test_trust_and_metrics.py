"""Crossed users, imbalance, A/A calibration; capping, funnels and windows."""

import numpy as np
import pytest
from scipy import stats

from neonblue_stats import (
    InvalidInput,
    Moments,
    aa_calibration,
    capped,
    capped_moments,
    crossed_users,
    funnel,
    observed_long_enough,
    percentile_cap,
    pre_period_imbalance,
    ratio_difference,
    within_window,
)


def test_crossed_users_are_warned_of_above_one_percent():
    ours = crossed_users([9, 11, 0, 0], [1000, 1000, 10, 0])
    assert ours.too_many.tolist() == [False, True, False, False]
    assert np.isnan(ours.share[3])


def test_pre_period_imbalance_is_welch_on_the_covariate():
    fair = pre_period_imbalance(Moments(1000, 5.0, 4.0), Moments(1000, 5.1, 4.0))
    unfair = pre_period_imbalance(Moments(1000, 5.0, 4.0), Moments(1000, 5.5, 4.0))
    assert (bool(fair.imbalanced), bool(unfair.imbalanced)) == (False, True)
    assert float(unfair.standardised) == pytest.approx(0.25)
    expected = stats.ttest_ind_from_stats(5.5, 2.0, 1000, 5.0, 2.0, 1000, equal_var=False).pvalue
    assert float(unfair.p_value) == pytest.approx(expected, rel=1e-9)


def test_calibration_accepts_uniform_p_values_and_finds_a_broken_test():
    rng = np.random.default_rng(1)
    p = rng.random(2000)
    good = aa_calibration(np.append(p, np.nan))
    assert (good.tests, good.calibrated) == (2000, True)
    assert good.p_value == pytest.approx(stats.binomtest(int((p < 0.05).sum()), 2000, 0.05).pvalue)
    assert good.uniformity_p_value == pytest.approx(stats.kstest(p, "uniform").pvalue)
    broken = aa_calibration(2 * stats.norm.sf(np.abs(1.3 * rng.normal(size=2000))))
    assert not broken.calibrated
    assert not aa_calibration([]).calibrated


@pytest.mark.parametrize("percentile", [0.1, 0.5, 0.9, 0.95, 0.99, 1.0])
def test_percentile_cap_agrees_with_numpy_and_with_weights(percentile):
    rng = np.random.default_rng(2)
    values = rng.integers(0, 50, 997).astype(float)
    expected = np.quantile(values, percentile, method="inverted_cdf")
    assert percentile_cap(values, percentile) == expected
    distinct, counts = np.unique(values, return_counts=True)
    assert percentile_cap(distinct, percentile, weights=counts) == expected


def test_percentile_cap_can_ignore_those_who_bought_nothing():
    values = np.r_[np.zeros(98), 10.0, 1000.0]
    assert percentile_cap(values, 0.5) == 0.0
    assert percentile_cap(values, 0.5, ignore_zeros=True) == 10.0
    assert np.isnan(percentile_cap([], 0.5))


def test_capped_moments_of_a_histogram_are_those_of_the_capped_values():
    rng = np.random.default_rng(3)
    values = rng.integers(0, 9, 500).astype(float)
    distinct, counts = np.unique(values, return_counts=True)
    ours = capped_moments(distinct, counts[:, None], cap=5.0, floor=1.0)
    clipped = capped(values, 5.0, 1.0)
    assert float(ours.mean[0]) == pytest.approx(clipped.mean(), rel=1e-12)
    assert float(ours.var[0]) == pytest.approx(clipped.var(ddof=1), rel=1e-12)
    with pytest.raises(InvalidInput, match="below the floor"):
        capped(values, 1.0, 2.0)


def test_funnel_steps_carry_the_moments_of_their_users():
    rng = np.random.default_rng(4)
    first = rng.random(1000) < 0.6
    second = first & (rng.random(1000) < 0.5)
    steps = funnel([1000], [[first.sum()], [second.sum()]])
    assert float(steps[1].of_all.mean[0]) == second.mean()
    assert float(steps[1].of_all.var[0]) == pytest.approx(second.var(ddof=1), rel=1e-12)
    np.testing.assert_allclose(steps[1].of_previous.cov[..., 0], np.cov(second, first), rtol=1e-9)
    same = ratio_difference(steps[1].of_previous, steps[1].of_previous)
    # the ratio of two nested shares is a proportion of those who reached the first step
    share = second.sum() / first.sum()
    assert float(same.standard_error[0]) == pytest.approx(np.sqrt(2 * share * (1 - share) / first.sum()), rel=1e-3)


def test_a_funnel_that_widens_is_refused():
    with pytest.raises(InvalidInput, match="step 2"):
        funnel([100], [[50], [60]])


def test_only_users_whose_window_is_over_count_for_retention():
    days = np.array([0.0, 3.0, 5.0])
    assert observed_long_enough(days, 11.0, 8.0).tolist() == [True, True, False]
    assert within_window(days, days + np.array([7.0, 8.0, 7.9]), 7.0, 8.0).tolist() == [True, False, True]
    with pytest.raises(InvalidInput, match="window_to"):
        within_window(days, days, 2.0, 2.0)
