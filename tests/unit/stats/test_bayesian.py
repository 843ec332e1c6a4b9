"""Posteriors against gbstats, closed forms and simulation."""

import numpy as np
import pytest
from gbstats.bayesian.tests import EffectBayesianABTest, EffectBayesianConfig, GaussianPrior
from gbstats.models.statistics import ProportionStatistic, SampleMeanStatistic
from scipy import integrate, special, stats

from neonblue_stats import InvalidInput, beta_binomial, gaussian_posterior, relative_lift, welch
from neonblue_stats.proportions import binomial
from tests.unit.stats.fix_arms import arm

CONTROL, TREATMENT = arm(41, 500), arm(42, 480, lift=0.04)


@pytest.mark.parametrize("kind", ["absolute", "relative"])
@pytest.mark.parametrize("prior", [None, (0.02, 0.05**2), (-1.0, 4.0)])
def test_gaussian_posterior_agrees_with_gbstats(kind, prior):
    a, b = (SampleMeanStatistic(n=v.n, sum=v.sums["sum"], sum_squares=v.sums["sum_squares"])
            for v in (CONTROL, TREATMENT))  # fmt: skip
    theirs_prior = GaussianPrior(*prior, proper=True) if prior else GaussianPrior(proper=False)
    config = EffectBayesianConfig(difference_type=kind, prior_type=kind, prior_effect=theirs_prior)
    theirs = EffectBayesianABTest(a, b, config).compute_result()
    fixed = (welch if kind == "absolute" else relative_lift)(CONTROL.moments, TREATMENT.moments)
    mean, variance = prior or (0.0, np.inf)
    ours = gaussian_posterior(fixed.estimate, fixed.standard_error, prior_mean=mean, prior_variance=variance)
    np.testing.assert_allclose(
        (ours.estimate, ours.standard_error, ours.low, ours.high, ours.chance_to_win,
         ours.expected_loss, ours.expected_loss_control),
        (theirs.expected, theirs.uplift.stddev, *theirs.ci, theirs.chance_to_win, theirs.risk[1], theirs.risk[0]),
        rtol=1e-8,
    )  # fmt: skip


def test_lift_of_a_proportion_agrees_with_gbstats():
    a, b = ProportionStatistic(n=1000, sum=100), ProportionStatistic(n=1000, sum=121)
    theirs = EffectBayesianABTest(a, b, EffectBayesianConfig()).compute_result()
    lift = relative_lift(binomial(1000, 100), binomial(1000, 121), normal=True)
    ours = gaussian_posterior(lift.estimate, lift.standard_error)
    assert float(ours.chance_to_win) == pytest.approx(theirs.chance_to_win, rel=1e-9)
    assert float(ours.expected_loss) == pytest.approx(theirs.risk[1], rel=1e-8)


@pytest.mark.parametrize("z", [-30.0, -3.0, 0.0, 1.9, 2.1, 8.0, 19.0, 21.0, 36.0])
def test_expected_loss_is_the_integral_of_what_is_lost(z):
    # E[max(-X, 0)] for X ~ N(z, 1), scaled by the density at 0 so that far tails can be integrated
    scale = stats.norm.pdf(z)
    expected = integrate.quad(lambda x: x * np.exp(-0.5 * x * x - x * z), 0, np.inf)[0] * scale if z >= 0 else None
    ours = float(gaussian_posterior(z, 1.0).expected_loss)
    if expected is None:
        assert ours == pytest.approx(-z, rel=1e-3 if z > -5 else 1e-12)
    else:
        assert ours == pytest.approx(expected, rel=3e-6)


def test_a_fall_is_a_win_where_lower_is_better():
    up, down = gaussian_posterior(-0.5, 0.2, higher_is_better=False), gaussian_posterior(0.5, 0.2)
    assert float(up.chance_to_win) == pytest.approx(float(down.chance_to_win), rel=1e-12)
    assert float(up.expected_loss) == pytest.approx(float(down.expected_loss), rel=1e-12)
    assert float(up.low) == pytest.approx(-float(down.high), rel=1e-12)


def miller_chance(a_c, b_c, a_t, b_t):
    """P(treatment > control) for whole a_t: Miller (2015), eq. 6."""
    i = np.arange(a_t)
    terms = special.betaln(a_c + i, b_t + b_c) - np.log(b_t + i) - special.betaln(1 + i, b_t) - special.betaln(a_c, b_c)
    return float(np.exp(terms).sum())


@pytest.mark.parametrize(
    ("n_c", "x_c", "n_t", "x_t"),
    [(100, 10, 100, 15), (1000, 100, 900, 121), (20, 0, 30, 4), (50_000, 500, 48_000, 560), (10**7, 10**6, 100, 14)],
)
def test_beta_binomial_chance_agrees_with_the_closed_form(n_c, x_c, n_t, x_t):
    ours = beta_binomial(n_c, x_c, n_t, x_t)
    expected = miller_chance(1 + x_c, 1 + n_c - x_c, 1 + x_t, 1 + n_t - x_t)
    # the closed form itself keeps 7 digits at ten million users
    assert float(ours.chance_to_win) == pytest.approx(expected, rel=1e-7)


def test_beta_binomial_loss_and_interval_agree_with_numerical_integration():
    a_c, b_c, a_t, b_t = 11, 91, 19, 83
    ours = beta_binomial(100, 10, 100, 18)
    loss = integrate.dblquad(
        lambda c, t: (c - t) * stats.beta.pdf(c, a_c, b_c) * stats.beta.pdf(t, a_t, b_t), 0, 0.6, lambda t: t, 0.6
    )[0]
    assert float(ours.expected_loss) == pytest.approx(loss, rel=1e-6)
    for end, share in ((float(ours.low), 0.025), (float(ours.high), 0.975)):
        below = integrate.quad(
            lambda t, end=end: stats.beta.pdf(t, a_t, b_t) * stats.beta.sf(t - end, a_c, b_c),
            0,
            1,
            points=[0.2],
            limit=200,
        )[0]
        assert below == pytest.approx(share, rel=1e-6)
    lift = beta_binomial(100, 10, 100, 18, relative=True)
    for end, share in ((float(lift.low), 0.025), (float(lift.high), 0.975)):
        below = integrate.quad(
            lambda t, end=end: stats.beta.pdf(t, a_t, b_t) * stats.beta.sf(min(t / (1 + end), 1), a_c, b_c),
            0, 1, points=[0.2], limit=200,
        )[0]  # fmt: skip
        assert below == pytest.approx(share, rel=1e-6)


def test_beta_binomial_moments_are_those_of_the_posteriors():
    ours = beta_binomial(100, 10, 120, 18, relative=True)
    rng = np.random.default_rng(0)
    lift = rng.beta(19, 103, 10**6) / rng.beta(11, 91, 10**6) - 1
    assert float(ours.estimate) == pytest.approx(lift.mean(), abs=4 * lift.std() / 1000)
    assert float(ours.standard_error) == pytest.approx(lift.std(), rel=0.01)


def test_shapes_and_refusals():
    assert beta_binomial([10, 20], [1, 2], [10, 20], [3, 4]).low.shape == (2,)
    assert beta_binomial(10, 1, 10, 3).low.shape == ()
    with pytest.raises(InvalidInput, match="between 0 and n"):
        beta_binomial(10, 11, 10, 3)
    with pytest.raises(InvalidInput, match="prior_variance"):
        gaussian_posterior(0.0, 1.0, prior_variance=0.0)
    assert np.isnan(gaussian_posterior(1.0, 0.0).chance_to_win)
