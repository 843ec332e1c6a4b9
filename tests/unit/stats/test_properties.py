"""What must hold for all data: symmetry, scale, agreement of interval and p-value, no warning and no infinity."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import neonblue_stats
from neonblue_stats import (
    Effect,
    JointMoments,
    Moments,
    confidence_sequence,
    cuped,
    fieller,
    gaussian_posterior,
    post_stratify,
    ratio_lift,
    relative_lift,
    two_proportion_z,
    welch,
)

finite = st.floats(-1e6, 1e6)
variances = st.floats(1e-6, 1e6)
sizes = st.integers(2, 10**9)
sides = st.builds(Moments, sizes, finite, variances)
sided = st.sampled_from(["two", "greater", "less"])
alphas = st.floats(1e-6, 0.9)
SETTINGS = settings(max_examples=150, deadline=None)


def agrees(effect: Effect, alpha: float) -> bool:
    outside = float(effect.low) > 0.0 or float(effect.high) < 0.0
    p = float(effect.p_value)
    return abs(p - alpha) < 1e-9 * alpha or outside == (p < alpha)


@given(sides, sides, alphas, sided)
@SETTINGS
def test_interval_leaves_out_zero_exactly_when_p_is_below_alpha(control, treatment, alpha, side):
    assert agrees(welch(control, treatment, alpha, sided=side), alpha)
    lift = relative_lift(control, treatment, alpha, sided=side)
    assert np.isnan(lift.p_value) or agrees(lift, alpha)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0.01, 0.99), st.floats(0.01, 0.99), alphas, sided)
@SETTINGS
def test_proportions_agree_with_themselves_too(n_c, n_t, share_c, share_t, alpha, side):
    c, t = (Moments.from_proportion(n, round(n * s)) for n, s in ((n_c, share_c), (n_t, share_t)))
    z = two_proportion_z(c, t, alpha, sided=side)
    assert np.isnan(z.p_value) or agrees(z, alpha)


@given(sides, sides)
@SETTINGS
def test_swapping_the_variants_turns_the_difference_round(control, treatment):
    there, back = welch(control, treatment), welch(treatment, control)
    assert float(there.estimate) == -float(back.estimate)
    assert float(there.low) == -float(back.high)
    assert float(there.p_value) == float(back.p_value)
    greater, less = welch(control, treatment, sided="greater"), welch(treatment, control, sided="less")
    assert float(greater.p_value) == pytest.approx(float(less.p_value), rel=1e-12)


@given(sides, sides, st.floats(1e-3, 1e3))
@SETTINGS
def test_a_change_of_unit_scales_the_difference_and_leaves_lift_and_p_alone(control, treatment, unit):
    # Half of the least number above 0 is 0, in any unit.
    assume(all(float(g.mean) == 0.0 or abs(float(g.mean)) > 1e-300 for g in (control, treatment)))
    c, t = (Moments(g.n, g.mean * unit, g.var * unit**2) for g in (control, treatment))
    plain, scaled = welch(control, treatment), welch(c, t)
    size = abs(float(control.mean)) + abs(float(treatment.mean)) + 1e-300
    assert float(scaled.estimate) == pytest.approx(float(plain.estimate) * unit, abs=1e-12 * size * unit)
    assert float(scaled.standard_error) == pytest.approx(float(plain.standard_error) * unit, rel=1e-9)
    lift, scaled_lift = relative_lift(control, treatment), relative_lift(c, t)
    if np.isfinite(lift.estimate):
        assert float(scaled_lift.estimate) == pytest.approx(float(lift.estimate), rel=1e-6, abs=1e-9)


@given(sides, sides, st.floats(-1e3, 1e3))
@SETTINGS
def test_adding_a_constant_to_everybody_leaves_the_difference_alone(control, treatment, shift):
    moved = welch(*(Moments(g.n, g.mean + shift, g.var) for g in (control, treatment)))
    plain = welch(control, treatment)
    assert float(moved.estimate) == pytest.approx(float(plain.estimate), abs=1e-9)
    assert float(moved.standard_error) == float(plain.standard_error)


@given(sides, sides, st.floats(0.001, 0.2))
@SETTINGS
def test_a_smaller_alpha_never_gives_a_narrower_interval(control, treatment, alpha):
    wide, narrow = welch(control, treatment, alpha / 2), welch(control, treatment, alpha)
    assert float(wide.low) <= float(narrow.low)
    assert float(wide.high) >= float(narrow.high)


@given(st.floats(-50, 50), st.floats(1e-3, 10), st.floats(1e-4, 100))
@SETTINGS
def test_a_prior_draws_the_estimate_towards_itself_and_makes_it_surer(estimate, se, prior_variance):
    flat = gaussian_posterior(estimate, se)
    drawn = gaussian_posterior(estimate, se, prior_mean=0.0, prior_variance=prior_variance)
    assert abs(float(drawn.estimate)) <= abs(float(flat.estimate))
    assert float(drawn.standard_error) < float(flat.standard_error)
    assert 0.0 <= float(drawn.chance_to_win) <= 1.0
    assert float(drawn.expected_loss) >= 0.0


EXTREMES = {
    "one user": Moments(1, 5.0, np.nan),
    "no user": Moments(0, np.nan, np.nan),
    "all zero": Moments(100, 0.0, 0.0),
    "zero variance": Moments(100, 3.0, 0.0),
    "mean of 1e12 with variance 1": Moments(1000, 1e12, 1.0),
    "a billion users": Moments(1e9, 2.0, 3.0),
    "two users": Moments(2, 1.0, 1e-12),
    "tiny variance": Moments(50, 1.0, 1e-300),
    "huge variance": Moments(50, 1.0, 1e300),
    "huge mean": Moments(50, 1e300, 1.0),
}


@pytest.mark.parametrize("control", EXTREMES)
@pytest.mark.parametrize("treatment", EXTREMES)
def test_extremes_give_numbers_or_nan_but_no_warning_and_no_infinity(control, treatment):
    c, t = EXTREMES[control], EXTREMES[treatment]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = [welch(c, t), relative_lift(c, t), two_proportion_z(c, t)]
        results += [confidence_sequence(r.estimate, r.standard_error, c.n + t.n) for r in results]
        pair_c, pair_t = (JointMoments(g.n, [g.mean, g.mean], np.full((2, 2), g.var)) for g in (c, t))
        results += [
            cuped(pair_c, pair_t).effect,
            cuped(pair_c, pair_t, relative=True).effect,
            ratio_lift(pair_c, pair_t),
        ]
        results.append(post_stratify(*(Moments([g.n, g.n], [g.mean] * 2, [g.var] * 2) for g in (c, t))).effect)
        posterior = gaussian_posterior(results[0].estimate, results[0].standard_error)
        fieller(c, t)
    for r in results:
        for field in ("estimate", "standard_error", "low", "high", "p_value"):
            assert not np.isinf(getattr(r, field)), field
        assert np.isnan(r.p_value) or 0.0 <= float(r.p_value) <= 1.0
        assert bool(np.isnan(r.low)) == bool(np.isnan(r.p_value)) == bool(np.isnan(r.high))
    assert not any(np.isinf(f) for f in posterior)


def test_nothing_is_made_up_where_there_is_no_test():
    undefined = [welch(EXTREMES["one user"], EXTREMES["a billion users"]), welch(*[EXTREMES["zero variance"]] * 2)]
    for effect in undefined:
        assert np.isnan([effect.low, effect.high, effect.p_value]).all()
    assert float(undefined[1].estimate) == 0.0
    zero_base = relative_lift(EXTREMES["all zero"], EXTREMES["a billion users"])
    assert np.isnan(zero_base.estimate)


def test_arms_of_very_different_size_are_ruled_by_the_smaller():
    effect = welch(Moments(1e9, 2.0, 4.0), Moments(3, 2.5, 4.0))
    assert float(effect.df) == pytest.approx(2.0, rel=1e-6)


def test_a_million_means_around_1e12_keep_their_difference():
    c, t = Moments(np.full(3, 1000), 1e12, 1.0), Moments(np.full(3, 1000), 1e12 + np.array([0.0, 0.5, 1.0]), 1.0)
    assert welch(c, t).estimate.tolist() == [0.0, 0.5, 1.0]


def test_every_public_name_is_exported_once_and_in_order():
    assert neonblue_stats.__all__ == sorted(set(neonblue_stats.__all__))
    for name in neonblue_stats.__all__:
        assert getattr(neonblue_stats, name).__doc__, name
