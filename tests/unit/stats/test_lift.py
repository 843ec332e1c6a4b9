"""Relative lift by the delta method and by Fieller."""

import numpy as np
import pytest
from gbstats.frequentist.tests import FrequentistConfig, OneSidedTreatmentGreaterTTest, TwoSidedTTest
from gbstats.models.statistics import ProportionStatistic, SampleMeanStatistic
from scipy import optimize, stats

from neonblue_stats import Moments, fieller, relative_lift, welch
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
