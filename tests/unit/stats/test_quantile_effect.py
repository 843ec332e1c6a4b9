"""Quantiles: standard errors, clusters and comparisons."""

import numpy as np
import pytest
from gbstats.frequentist.tests import FrequentistConfig, TwoSidedTTest
from gbstats.models.statistics import QuantileClusteredStatistic, QuantileStatistic
from scipy import stats

from neonblue_stats import InvalidInput, JointMoments, Quantile, cluster_factor, interval_levels, quantile_effect
from neonblue_stats.quantiles import quantile_standard_errors

CONTROL, TREATMENT = Quantile(2_000_000, 10.0, 9.9, 10.15), Quantile(1_900_000, 10.4, 10.2, 10.5)


@pytest.mark.parametrize("kind", ["absolute", "relative"])
def test_effect_agrees_with_gbstats(kind):
    # its variance carries (n - 1)/n and its law is Student's: both vanish at millions of events
    a, b = (QuantileStatistic(n=int(q.n), n_star=int(q.n), nu=0.9, quantile_hat=q.value, quantile_lower=q.low,
                              quantile_upper=q.high) for q in (CONTROL, TREATMENT))  # fmt: skip
    theirs = TwoSidedTTest(a, b, FrequentistConfig(difference_type=kind)).compute_result()
    ours = quantile_effect(CONTROL, TREATMENT, relative=kind == "relative")
    np.testing.assert_allclose(
        (ours.estimate, ours.standard_error, ours.low, ours.high, ours.p_value),
        (theirs.expected, theirs.uplift.stddev, *theirs.ci, theirs.p_value),
        rtol=3e-5,
    )


def test_standard_error_from_the_levels_is_that_of_the_sample_quantile():
    # asymptotic law of a quantile: sqrt(q(1-q)/n)/f(q)
    n, q = 40_000, 0.9
    values = stats.expon.ppf((np.arange(n) + 0.5) / n)
    low, high = interval_levels(n, q)
    ends = np.quantile(values, [low, q, high])
    found = Quantile(n, ends[1], ends[0], ends[2])
    ours, _ = quantile_standard_errors(found, found)
    expected = np.sqrt(q * (1 - q) / n) / stats.expon.pdf(stats.expon.ppf(q))
    assert float(ours) == pytest.approx(expected, rel=2e-3)


def clusters(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Events per user, and how many of them are at or below the quantile; users differ."""
    rng = np.random.default_rng(seed)
    events = 1 + rng.poisson(6, 3000)
    return rng.binomial(events, rng.beta(2, 2, 3000)), events


def test_cluster_factor_agrees_with_gbstats():
    below, events = clusters(1)
    joint = JointMoments.from_sums(
        3000, [below.sum(), events.sum()], [[(below**2).sum()], [(below * events).sum(), (events**2).sum()]]
    )
    theirs = QuantileClusteredStatistic(
        n=int(events.sum()), n_star=int(events.sum()), nu=0.5, quantile_hat=10.0, quantile_lower=9.0,
        quantile_upper=11.0, main_sum=float(below.sum()), main_sum_squares=float((below**2).sum()),
        denominator_sum=float(events.sum()), denominator_sum_squares=float((events**2).sum()),
        main_denominator_sum_product=float((below * events).sum()), n_clusters=3000,
    )  # fmt: skip
    ours = float(cluster_factor(joint, 0.5))
    assert ours == pytest.approx(theirs.get_cluster_variance / (0.25 / events.sum()), rel=1e-9)
    assert ours > 1.5


def test_one_event_a_user_needs_no_cluster_correction():
    rng = np.random.default_rng(2)
    below = (rng.random(20_000) < 0.9).astype(float)
    ones = np.ones(20_000)
    joint = JointMoments.from_sums(20_000, [below.sum(), 20_000], [[below.sum()], [below.sum(), ones.sum()]])
    assert float(cluster_factor(joint, below.mean())) == pytest.approx(1.0, abs=1e-3)


def test_too_few_values_have_no_interval_levels():
    low, high = interval_levels([10, 1000], 0.99)
    assert np.isnan([low[0], high[0]]).all()
    assert 0.98 < low[1] < 0.99 < high[1] < 1.0


def test_no_width_on_either_side_means_no_test():
    flat = Quantile(100, 5.0, 5.0, 5.0)
    assert np.isnan(quantile_effect(flat, flat).p_value)
    assert np.isfinite(quantile_effect(flat, CONTROL).p_value)


def test_errors_are_those_of_the_halves_that_face_each_other_and_of_the_others_where_these_have_no_width():
    control, treatment = Quantile(900, 3.0, 2.0, 5.0), Quantile(900, 7.0, 3.0, 15.0)
    assert quantile_standard_errors(control, treatment, facing=True) == pytest.approx((2 / 1.959964, 4 / 1.959964))
    assert quantile_standard_errors(treatment, control, facing=True) == pytest.approx((4 / 1.959964, 2 / 1.959964))
    clustered = quantile_standard_errors(control, treatment, 4.0, 9.0, facing=True)
    assert clustered == pytest.approx((4 / 1.959964, 12 / 1.959964))
    below, above = Quantile(900, 3.0, 2.0, 3.0), Quantile(900, 7.0, 7.0, 8.0)
    assert quantile_standard_errors(below, above, facing=True) == pytest.approx((1 / 1.959964, 1 / 1.959964))
    assert quantile_standard_errors(below, below, facing=True) == pytest.approx((0, 1 / 1.959964))


def test_an_effect_has_p_below_5_percent_only_where_each_quantile_lies_outside_the_others_interval():
    # Intervals of all shapes, of few values so that many ends are equal, and of values far apart.
    rng = np.random.default_rng(3)
    ends = np.sort(rng.choice([0.0, 1.0, 2.0, 3.0, 4.0, 50.0, 51.0, 400.0], (2, 20_000, 3)), axis=-1)
    control, treatment = (Quantile(np.full(len(e), 900), e[:, 1], e[:, 0], e[:, 2]) for e in ends)
    apart = [(a.value < b.low) | (a.value > b.high) for a, b in ((control, treatment), (treatment, control))]
    for relative in (False, True):
        below = quantile_effect(control, treatment, relative=relative, facing=True).p_value < 0.05 - 1e-9
        assert below.sum() > 500
        assert not np.any(below & ~(apart[0] & apart[1]))


def test_an_interval_upside_down_is_refused():
    with pytest.raises(InvalidInput, match="above its high end"):
        quantile_effect(Quantile(10, 1.0, 2.0, 0.5), CONTROL)
