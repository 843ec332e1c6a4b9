"""Relative lift by the delta method and by Fieller."""

import numpy as np
import pytest
from gbstats.frequentist.tests import FrequentistConfig, OneSidedTreatmentGreaterTTest, TwoSidedTTest
from gbstats.models.statistics import ProportionStatistic, SampleMeanStatistic
from scipy import optimize, stats

from neonblue_stats import Contrast, Moments, confidence_sequence, cuped, fieller, lift_sequence, relative_lift, welch
from neonblue_stats.fieller import lift_bounds
from tests.unit.stats.fix_arms import arm

CONTROL, TREATMENT = arm(5, 300), arm(6, 320, lift=0.08)


def test_lift_agrees_with_gbstats():
    a, b = (SampleMeanStatistic(n=v.n, sum=v.sums["sum"], sum_squares=v.sums["sum_squares"])
            for v in (CONTROL, TREATMENT))  # fmt: skip
    theirs = TwoSidedTTest(a, b, FrequentistConfig(difference_type="relative", alpha=0.1)).compute_result()
    ours = relative_lift(CONTROL.moments, TREATMENT.moments, 0.1)
    np.testing.assert_allclose(
        (ours.estimate, ours.standard_error, ours.low, ours.high, ours.p_value),
        (theirs.expected, theirs.uplift.stddev, *theirs.ci, theirs.p_value),
        rtol=1e-9,
    )
    one = OneSidedTreatmentGreaterTTest(a, b, FrequentistConfig(difference_type="relative")).compute_result()
    ours = relative_lift(CONTROL.moments, TREATMENT.moments, sided="greater")
    np.testing.assert_allclose((ours.low, ours.p_value), (one.ci[0], one.p_value), rtol=1e-9)


def test_lift_of_a_proportion_has_the_standard_error_of_gbstats():
    a, b = ProportionStatistic(n=1000, sum=100), ProportionStatistic(n=1100, sum=140)
    theirs = TwoSidedTTest(a, b, FrequentistConfig(difference_type="relative")).compute_result()
    from neonblue_stats.proportions import binomial

    ours = relative_lift(binomial(1000, 100), binomial(1100, 140), normal=True)
    np.testing.assert_allclose((ours.estimate, ours.standard_error), (theirs.expected, theirs.uplift.stddev), rtol=1e-9)
    assert float(ours.p_value) == pytest.approx(2 * stats.norm.sf(theirs.expected / theirs.uplift.stddev), rel=1e-9)


def test_variance_of_the_lift_is_the_gradient_of_the_ratio():
    c, t = CONTROL.moments, TREATMENT.moments
    step = 1e-6
    gradient = [
        ((t.mean + step) / c.mean - (t.mean - step) / c.mean) / (2 * step),
        (t.mean / (c.mean + step) - t.mean / (c.mean - step)) / (2 * step),
    ]
    variance = gradient[0] ** 2 * t.var / t.n + gradient[1] ** 2 * c.var / c.n
    assert float(relative_lift(c, t).standard_error) == pytest.approx(np.sqrt(variance), rel=1e-7)


def test_a_lift_is_positive_when_the_treatment_is_higher_also_below_zero():
    lift = relative_lift(Moments(100, -10.0, 1.0), Moments(100, -5.0, 1.0))
    assert float(lift.estimate) == pytest.approx(0.5)
    assert float(lift.low) > 0.0
    bounds = fieller(Moments(100, -10.0, 1.0), Moments(100, -5.0, 1.0))
    assert 0.0 < float(bounds.low) < 0.5 < float(bounds.high)


def test_fieller_ends_are_where_the_difference_stops_being_significant():
    c, t = CONTROL.moments, TREATMENT.moments
    bounds = fieller(c, t)
    df = float(welch(c, t).df)
    q = stats.t.ppf(0.975, df)

    def excess(lift: float) -> float:
        r = 1.0 + lift
        return float(abs(t.mean - r * c.mean) - q * np.sqrt(t.var / t.n + r * r * c.var / c.n))

    middle = float(t.mean / c.mean - 1.0)
    assert float(bounds.low) == pytest.approx(optimize.brentq(excess, middle - 1.0, middle), rel=1e-9)
    assert float(bounds.high) == pytest.approx(optimize.brentq(excess, middle, middle + 1.0), rel=1e-9)


def test_fieller_leaves_out_zero_exactly_where_the_difference_is_significant():
    rng = np.random.default_rng(9)
    k = 4000
    c = Moments(rng.integers(5, 500, k), rng.normal(2.0, 1.0, k), rng.gamma(2.0, 2.0, k))
    t = Moments(rng.integers(5, 500, k), c.mean + rng.normal(0.0, 0.5, k), rng.gamma(2.0, 2.0, k))
    bounds, p = fieller(c, t), welch(c, t).p_value
    bounded = bounds.bounded
    outside = (bounds.low > 0.0) | (bounds.high < 0.0)
    assert bounded.sum() > 2000
    assert ((p < 0.05)[bounded] == outside[bounded]).all()
    assert not outside[~bounded].any()


def test_fieller_is_unbounded_when_the_control_cannot_be_told_from_zero():
    bounds = fieller(Moments(10, 0.1, 4.0), Moments(10, 2.0, 4.0))
    assert not bounds.bounded
    assert (float(bounds.low), float(bounds.high)) == (-np.inf, np.inf)


def test_delta_and_fieller_agree_for_many_users():
    c, t = Moments(10**7, 2.0, 3.0), Moments(10**7, 2.1, 3.0)
    lift, bounds = relative_lift(c, t), fieller(c, t)
    np.testing.assert_allclose((lift.low, lift.high), (bounds.low, bounds.high), rtol=1e-4)


def drawn_contrasts(k: int) -> Contrast:
    """Differences whose covariance with the base is anything that a covariance can be."""
    rng = np.random.default_rng(10)
    variance, base_variance = rng.gamma(2.0, 0.05, k), rng.gamma(2.0, 0.02, k)
    covariance = rng.uniform(-0.95, 0.95, k) * np.sqrt(variance * base_variance)
    return Contrast(rng.normal(0.0, 1.0, k), variance, rng.normal(0.0, 2.0, k), base_variance, covariance)


def test_ends_of_a_lift_are_where_the_difference_minus_it_times_the_base_stops_being_significant():
    contrast, q = drawn_contrasts(2000), 2.5
    low, high, bounded = lift_bounds(contrast, np.full(2000, q))
    assert 500 < bounded.sum() < 2000
    d, v_d, m, v_m, v_dm = (values[bounded] for values in contrast)
    for end in (low[bounded], high[bounded]):
        rho = end * np.sign(m)
        z = (d - rho * m) / np.sqrt(v_d - 2.0 * rho * v_dm + rho**2 * v_m)
        np.testing.assert_allclose(np.abs(z), q, rtol=1e-6)
    assert (low[bounded] < high[bounded]).all()


def test_the_sequence_of_a_lift_says_of_no_effect_what_that_of_the_difference_says():
    contrast = drawn_contrasts(4000)
    lift = lift_sequence(contrast, 3000.0, 0.1)
    difference = confidence_sequence(contrast.difference, np.sqrt(contrast.variance), 3000.0, 0.1)
    np.testing.assert_array_equal(lift.p_value, difference.p_value)
    outside, bounded = (lift.low > 0.0) | (lift.high < 0.0), np.isfinite(lift.low)
    assert (outside[bounded] == (lift.p_value < 0.1)[bounded]).all()
    assert outside[bounded].any()
    assert not outside[~bounded].any()


def test_a_treatment_in_which_nothing_happened_is_worse_by_all_of_it():
    control, treatment = Moments.from_proportion(10_000, 500), Moments.from_proportion(10_000, 0)
    v_c, v_t = control.variance_of_mean, treatment.variance_of_mean
    lift = lift_sequence(Contrast(treatment.mean - control.mean, v_t + v_c, control.mean, v_c, -v_c), 20_000)
    assert float(lift.estimate) == float(lift.high) == -1.0
    assert float(lift.p_value) < 1e-50
    # The delta method gives it no standard error at all.
    assert np.isnan(relative_lift(control, treatment).p_value)


def test_where_the_control_is_0_there_is_no_lift():
    lift = lift_sequence(Contrast(*(np.array([value]) for value in (0.2, 0.01, 0.0, 0.0, 0.0))), 100)
    assert np.isnan(lift.estimate)
    assert np.isnan(lift.p_value)
    assert (float(lift.low[0]), float(lift.high[0])) == (-np.inf, np.inf)


def test_the_contrast_of_cuped_has_the_variances_of_the_adjusted_users():
    found = cuped(CONTROL.joint("y", "x"), TREATMENT.joint("y", "x"))
    control, treatment = (v.y - found.theta * v.x for v in (CONTROL, TREATMENT))
    with_base = np.cov(control, CONTROL.y) / CONTROL.n
    expected = (
        *(found.treatment_mean - found.control_mean, with_base[0, 0] + treatment.var(ddof=1) / TREATMENT.n),
        *(CONTROL.y.mean(), with_base[1, 1], -with_base[0, 1]),
    )
    np.testing.assert_allclose(found.contrast, expected, rtol=1e-9)
