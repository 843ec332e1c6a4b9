"""Confidence sequences and mSPRT against gbstats, the paper's equations, and each other."""

import numpy as np
import pytest
from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest
from gbstats.models.statistics import SampleMeanStatistic
from scipy import integrate, optimize, stats

from neonblue_stats import InvalidInput, confidence_sequence, msprt, relative_lift, running, welch
from tests.unit.stats.fix_arms import arm

CONTROL, TREATMENT = arm(31, 700), arm(32, 650, lift=0.1)
N = CONTROL.n + TREATMENT.n


@pytest.mark.parametrize("kind", ["absolute", "relative"])
@pytest.mark.parametrize(("alpha", "tuning_n"), [(0.05, 5000.0), (0.01, 300.0), (0.2, 1e6)])
def test_confidence_sequence_agrees_with_gbstats(kind, alpha, tuning_n):
    a, b = (SampleMeanStatistic(n=v.n, sum=v.sums["sum"], sum_squares=v.sums["sum_squares"])
            for v in (CONTROL, TREATMENT))  # fmt: skip
    config = SequentialConfig(difference_type=kind, alpha=alpha, sequential_tuning_parameter=tuning_n)
    theirs = SequentialTwoSidedTTest(a, b, config).compute_result()
    fixed = (welch if kind == "absolute" else relative_lift)(CONTROL.moments, TREATMENT.moments)
    ours = confidence_sequence(fixed.estimate, fixed.standard_error, N, alpha, tuning_n=tuning_n)
    np.testing.assert_allclose((ours.low, ours.high, ours.p_value), (*theirs.ci, theirs.p_value), rtol=1e-9)


def test_confidence_sequence_is_equation_9_of_the_paper():
    alpha, n, sd = 0.05, 1000, 2.0
    ours = confidence_sequence(0.0, sd / np.sqrt(n), n, alpha, tuning_n=500)
    rho2 = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / 500
    half = sd * np.sqrt(2 * (n * rho2 + 1) / (n**2 * rho2) * np.log(np.sqrt(n * rho2 + 1) / alpha))
    assert float(ours.high) == pytest.approx(half, rel=1e-12)


def test_one_sided_sequence_is_equation_134_and_its_p_value_inverts_it():
    alpha, n, sd, d = 0.05, 1000, 2.0, 0.15
    rho2 = (-2 * np.log(2 * alpha) + np.log(-2 * np.log(2 * alpha) + 1)) / 5000

    def half(level):
        m = n * rho2
        return sd / np.sqrt(n) * np.sqrt(2 * (m + 1) / m * np.log(1 + np.sqrt(m + 1) / (2 * level)))

    ours = confidence_sequence(d, sd / np.sqrt(n), n, alpha, sided="greater")
    assert float(ours.low) == pytest.approx(d - half(alpha), rel=1e-12)
    assert float(ours.p_value) == pytest.approx(optimize.brentq(lambda a: d - half(a), 1e-12, 5.0), rel=1e-9)
    mirrored = confidence_sequence(-d, sd / np.sqrt(n), n, alpha, sided="less")
    assert (float(mirrored.high), float(mirrored.p_value)) == (-float(ours.low), float(ours.p_value))


@pytest.mark.parametrize("sided", ["two", "greater", "less"])
def test_interval_leaves_out_zero_exactly_when_p_is_below_alpha(sided):
    rng = np.random.default_rng(1)
    d, se, n = rng.normal(0.0, 4.0, 5000), rng.gamma(2.0, 0.5, 5000), rng.integers(10, 10**6, 5000)
    ours = confidence_sequence(d, se, n, sided=sided)
    outside = (ours.low > 0.0) | (ours.high < 0.0)
    assert 500 < outside.sum() < 4500
    assert (outside == (ours.p_value < 0.05)).all()


def test_intervals_of_every_level_agree_with_one_p_value_where_they_share_their_tuning():
    rng = np.random.default_rng(12)
    estimate, n = rng.normal(0.0, 3.0, 5000), rng.integers(100, 10**7, 5000)
    p_value = confidence_sequence(estimate, 1.0, n, 0.05).p_value
    for level in (0.05 / 50, 0.01, 0.5):
        shared = confidence_sequence(estimate, 1.0, n, level, tuning_alpha=0.05)
        np.testing.assert_array_equal(shared.p_value, p_value)
        assert (((shared.low > 0.0) | (shared.high < 0.0)) == (p_value < level)).all()
    own = confidence_sequence(estimate, 1.0, n, 0.05 / 50)
    assert (((own.low > 0.0) | (own.high < 0.0)) != (p_value < 0.05 / 50)).any()


def test_the_sequence_is_narrowest_near_its_tuning_size():
    n, tuning = np.geomspace(100, 1e6, 60), np.geomspace(100, 1e6, 60)
    widths = np.array([confidence_sequence(0.0, 1.0 / np.sqrt(n), n, tuning_n=t).high * np.sqrt(n) for t in tuning])
    best = tuning[widths.argmin(axis=0)]
    assert (np.abs(np.log(best / n))[5:-5] < 0.6).all()


def test_msprt_likelihood_ratio_is_the_integral_over_the_mixture():
    d, se, tau = 0.3, 0.1, 0.25
    ratio = integrate.quad(
        lambda theta: stats.norm.pdf(d, theta, se) / stats.norm.pdf(d, 0, se) * stats.norm.pdf(theta, 0, tau), -3, 3
    )[0]
    ours = msprt(d, se, tau**2)
    assert float(ours.p_value) == pytest.approx(1 / ratio, rel=1e-8)
    at_the_edge = msprt(float(ours.high) - d, se, tau**2)
    assert float(at_the_edge.p_value) == pytest.approx(0.05, rel=1e-9)


def test_msprt_equals_the_confidence_sequence_tuned_alike():
    d, se, n, alpha = 0.02, 0.01, 4000, 0.05
    rho2 = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / 5000
    sequence, mixture = confidence_sequence(d, se, n, alpha), msprt(d, se, n * rho2 * se**2, alpha)
    for field in ("low", "high", "p_value"):
        assert float(getattr(sequence, field)) == pytest.approx(float(getattr(mixture, field)), rel=1e-12)


def test_running_keeps_the_tightest_bounds_and_the_smallest_p_so_far():
    effect = confidence_sequence([[0.1, 0.5, 0.2]], [[0.2, 0.1, 0.1]], [[100, 200, 300]])
    kept = running(effect)
    assert (kept.low[0] == np.maximum.accumulate(effect.low[0])).all()
    assert (kept.p_value[0] == np.minimum.accumulate(effect.p_value[0])).all()


def test_far_tails_stay_finite():
    ours = confidence_sequence([1e3, -1e3], [1.0, 1.0], [100, 100], sided="greater")
    assert ours.p_value.tolist() == [0.0, 1.0]
    assert np.isnan(confidence_sequence(1.0, 0.0, 100).p_value)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(InvalidInput, match="tuning_n"):
        confidence_sequence(0.0, 1.0, 10, tuning_n=0.0)
    with pytest.raises(InvalidInput, match=r"below 0\.5"):
        confidence_sequence(0.0, 1.0, 10, 0.6, sided="greater")
    with pytest.raises(InvalidInput, match="mixing_variance"):
        msprt(0.0, 1.0, 0.0)
