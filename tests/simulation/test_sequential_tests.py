"""Peeking after every batch: sequential tests keep their false alarm rate, a fixed test is seen to lose it."""

from __future__ import annotations

import numpy as np
import pytest

from neonblue_stats import (
    Contrast,
    Moments,
    boundaries,
    confidence_sequence,
    gaussian_posterior,
    group_sequential,
    lift_sequence,
    msprt,
    sample_ratio,
    sample_ratio_anytime,
    sample_size,
    welch,
)

pytestmark = pytest.mark.slow
RUNS, LOOKS, BATCH = 2000, 150, 60


def margin(rate: float, runs: int = RUNS) -> float:
    return 3.0 * np.sqrt(rate * (1.0 - rate) / runs)


def paths(rng: np.random.Generator, shift: float = 0.0, *, skewed: bool = False) -> Moments:
    """Moments after each batch of users, shape (RUNS, LOOKS)."""
    if skewed:
        # 90 % zeros, the others log-normal: sums of a batch from its buyers
        buyers = rng.binomial(BATCH, 0.1, (RUNS, LOOKS))
        amounts = rng.lognormal(0.0, 1.0, (RUNS, LOOKS, buyers.max()))
        bought = np.arange(buyers.max()) < buyers[..., None]
        total, squares = (amounts * bought).sum(axis=2), (amounts**2 * bought).sum(axis=2)
    else:
        mean = rng.normal(shift, 1.0 / np.sqrt(BATCH), (RUNS, LOOKS))
        total = BATCH * mean
        squares = rng.chisquare(BATCH - 1, (RUNS, LOOKS)) + BATCH * mean**2
    n = BATCH * np.arange(1, LOOKS + 1)
    return Moments.from_sums(n, total.cumsum(axis=1), squares.cumsum(axis=1))


def ever(condition: np.ndarray) -> float:
    return float(condition.any(axis=1).mean())


@pytest.mark.parametrize("skewed", [False, True])
def test_only_sequential_tests_survive_continuous_peeking(skewed):
    rng = np.random.default_rng(201)
    control, treatment = paths(rng, skewed=skewed), paths(rng, skewed=skewed)
    fixed = welch(control, treatment)
    assert ever(fixed.p_value < 0.05) > 0.25
    n = control.n + treatment.n
    # an asymptotic sequence: from the first few hundred users on
    late = n >= 600
    for sided in ("two", "greater", "less"):
        sequence = confidence_sequence(fixed.estimate, fixed.standard_error, n, sided=sided)
        assert ever((sequence.p_value < 0.05) & late) <= 0.05 + margin(0.05)
        assert ever(((sequence.low > 0.0) | (sequence.high < 0.0)) & late) <= 0.05 + margin(0.05)
    mixture = msprt(fixed.estimate, fixed.standard_error, 0.1**2)
    assert ever((mixture.p_value < 0.05) & late) <= 0.05 + margin(0.05)


@pytest.mark.parametrize(("rate", "batch"), [(0.01, 100), (0.02, 200), (0.001, 1000)])
def test_the_sequence_of_a_lift_survives_peeking_at_rare_conversions_and_the_delta_method_does_not(rate, batch):
    rng = np.random.default_rng(204)
    n = batch * np.arange(1, 101)
    x_c, x_t = (rng.binomial(batch, rate, (RUNS, 100)).cumsum(axis=1) for _ in range(2))
    control, treatment = Moments.from_proportion(n, x_c), Moments.from_proportion(n, x_t)
    v_c, v_t = control.variance_of_mean, treatment.variance_of_mean
    difference = treatment.mean - control.mean
    lift = lift_sequence(Contrast(difference, v_t + v_c, control.mean, v_c, -v_c), 2.0 * n)
    assert ever((lift.low > 0.0) | (lift.high < 0.0)) <= 0.05 + margin(0.05)
    assert ever(lift.p_value < 0.05) <= 0.05 + margin(0.05)
    by_delta = confidence_sequence(lift.estimate, lift.standard_error, 2.0 * n)
    assert ever(by_delta.p_value < 0.05) > 0.07


def test_the_sequence_of_a_lift_covers_it_at_all_looks_together():
    rng = np.random.default_rng(205)
    n = 100 * np.arange(1, 101)
    for lift in (0.5, -0.5):
        x_c, x_t = (rng.binomial(100, rate, (RUNS, 100)).cumsum(axis=1) for rate in (0.02, 0.02 * (1.0 + lift)))
        control, treatment = Moments.from_proportion(n, x_c), Moments.from_proportion(n, x_t)
        v_c, v_t = control.variance_of_mean, treatment.variance_of_mean
        found = lift_sequence(Contrast(treatment.mean - control.mean, v_t + v_c, control.mean, v_c, -v_c), 2.0 * n)
        assert ever((found.low > lift) | (found.high < lift)) <= 0.05 + margin(0.05)


def test_confidence_sequences_cover_the_truth_at_all_looks_together():
    rng = np.random.default_rng(202)
    control, treatment = paths(rng), paths(rng, 0.15)
    fixed = welch(control, treatment)
    sequence = confidence_sequence(fixed.estimate, fixed.standard_error, control.n + treatment.n)
    late = control.n >= 300
    missed = ever(((sequence.low > 0.15) | (sequence.high < 0.15)) & late)
    assert missed <= 0.05 + margin(0.05)


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
@pytest.mark.parametrize("sided", ["two", "greater"])
def test_group_sequential_plans_spend_alpha_exactly(spending, sided):
    rng = np.random.default_rng(203)
    looks, runs = [0.15, 0.4, 0.7, 1.0], 40_000
    steps = np.sqrt(np.diff(looks, prepend=0.0))
    motion = (rng.normal(size=(runs, 4)) * steps).cumsum(axis=1)
    z = motion / np.sqrt(looks)
    bound = boundaries(looks, 0.05, spending, sided=sided)
    crossed = (np.abs(z) if sided == "two" else z) > bound.z
    seen = np.logical_or.accumulate(crossed, axis=1).mean(axis=0)
    np.testing.assert_allclose(seen, bound.spent, atol=3 * np.sqrt(0.05 * 0.95 / runs))


def test_repeated_intervals_cover_the_truth_at_all_looks_together():
    rng = np.random.default_rng(204)
    looks, runs, truth = [0.25, 0.5, 1.0], 20_000, 1.5
    steps = np.diff(looks, prepend=0.0)
    motion = (rng.normal(size=(runs, 3)) * np.sqrt(steps) + truth * steps).cumsum(axis=1)
    missed = np.zeros(runs, dtype=bool)
    for k, t in enumerate(looks):
        ours = group_sequential(motion[:, k] / t, np.full(runs, 1 / np.sqrt(t)), looks[: k + 1])
        missed |= (ours.low > truth) | (ours.high < truth)
    assert float(missed.mean()) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / runs))


def test_anytime_sample_ratio_check_survives_peeking_and_chi_square_does_not():
    rng = np.random.default_rng(205)
    runs, looks, batch = 2000, 200, 50
    first = rng.binomial(batch, 0.5, (runs, looks)).cumsum(axis=1)
    total = batch * np.arange(1, looks + 1)
    counts = np.stack([first, total - first], axis=-1)
    assert ever(sample_ratio(counts, [1, 1]).p_value < 0.05) > 0.25
    for concentration in (100.0, 10_000.0):
        anytime = sample_ratio_anytime(counts, [1, 1], concentration=concentration)
        assert ever(anytime.p_value < 0.05) <= 0.05 + margin(0.05, runs)
    skewed = rng.binomial(batch, 0.55, (runs, looks)).cumsum(axis=1)
    found = sample_ratio_anytime(np.stack([skewed, total - skewed], axis=-1), [1, 1], concentration=100.0)
    assert ever(found.p_value < 0.05) > 0.95


def test_power_of_a_sequential_test_is_at_least_as_planned():
    rng = np.random.default_rng(206)
    n = int(sample_size(10.0, 0.05, 25.0, power=0.8, sequential_tuning_n=2000))
    half, runs = n // 2, 4000
    sides = [
        Moments(half, rng.normal(m, 5.0 / np.sqrt(half), runs), 25.0 * rng.chisquare(half - 1, runs) / (half - 1))
        for m in (10.0, 10.5)
    ]
    fixed = welch(*sides)
    at_the_end = confidence_sequence(fixed.estimate, fixed.standard_error, n, tuning_n=2000)
    assert float(np.mean(at_the_end.p_value < 0.05)) == pytest.approx(0.8, abs=margin(0.8, runs))


def test_credible_intervals_and_chances_are_calibrated_under_their_prior():
    rng = np.random.default_rng(207)
    runs = 40_000
    truth = rng.normal(0.02, 0.05, runs)
    seen = truth + rng.normal(0.0, 0.04, runs)
    ours = gaussian_posterior(seen, np.full(runs, 0.04), prior_mean=0.02, prior_variance=0.05**2)
    inside = (ours.low <= truth) & (truth <= ours.high)
    assert float(inside.mean()) == pytest.approx(0.95, abs=margin(0.95, runs))
    sure = ours.chance_to_win > 0.9
    assert float(np.mean(truth[sure] > 0)) == pytest.approx(float(ours.chance_to_win[sure].mean()), abs=0.01)
    ship = ours.expected_loss < 0.002
    lost = np.maximum(-truth[ship], 0.0)
    assert float(lost.mean()) == pytest.approx(
        float(ours.expected_loss[ship].mean()), abs=4 * lost.std() / np.sqrt(ship.sum())
    )
