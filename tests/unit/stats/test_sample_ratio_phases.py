"""The sample ratio over phases, and shares that should be alike in all variants."""

import numpy as np
import pytest
from scipy import stats

from neonblue_stats import (
    same_share,
    sample_ratio,
    sample_ratio_anytime,
    sample_ratio_phases,
    sample_ratio_phases_anytime,
)

COUNTS = [[520, 480, 0], [902, 61, 37]]
WEIGHTS = [[0.5, 0.5, 0.0], [0.9, 0.06, 0.04]]


def test_each_phase_is_held_against_its_own_weights():
    ours = sample_ratio_phases(COUNTS, WEIGHTS)
    each = [stats.chisquare(COUNTS[0][:2]), stats.chisquare(COUNTS[1], [900, 60, 40])]
    assert ours.statistic == pytest.approx(sum(e.statistic for e in each))
    assert ours.p_value == pytest.approx(stats.chi2.sf(sum(e.statistic for e in each), 1 + 2))
    assert not ours.mismatch
    # All users against the present weights: the change of weights itself would look like a mismatch.
    assert sample_ratio(np.sum(COUNTS, axis=0), WEIGHTS[1]).mismatch


def test_one_phase_is_the_plain_check_and_phases_without_users_add_nothing():
    plain, anytime = sample_ratio(COUNTS[1], WEIGHTS[1]), sample_ratio_anytime(COUNTS[1], WEIGHTS[1])
    for counts in ([COUNTS[1]], [COUNTS[1], [0, 0, 0]], [COUNTS[1], [np.nan] * 3]):
        weights = [WEIGHTS[1]] * len(counts)
        assert sample_ratio_phases(counts, weights).p_value == pytest.approx(plain.p_value)
        assert sample_ratio_phases_anytime(counts, weights).p_value == pytest.approx(anytime.p_value)
    assert np.isnan(sample_ratio_phases([[0, 0], [7, np.nan]], [[1, 1], [1, 1]]).p_value)


def test_phases_in_which_a_variant_expects_few_users_keep_the_level_which_chi_squares_do_not():
    """All splits of 3 and of 40 users over two phases, each with its probability."""
    sizes, weights = (3, 40), [[0.99, 0.01], [0.95, 0.05]]
    first, second = (grid.ravel() for grid in np.meshgrid(*(np.arange(n + 1) for n in sizes), indexing="ij"))
    counts = np.stack([np.stack([n - k, k], axis=-1) for n, k in zip(sizes, (first, second), strict=True)], axis=1)
    probability = stats.binom.pmf(first, 3, 0.01) * stats.binom.pmf(second, 40, 0.05)
    ours = sample_ratio_phases(counts, weights).p_value
    added = sample_ratio(counts, weights).statistic.sum(axis=-1)
    for level in (0.001, 0.01, 0.05, 0.2):
        assert probability[ours <= level].sum() <= level
    assert probability[stats.chi2.sf(added, 2) <= 0.001].sum() > 0.02
    alone = sample_ratio_phases([[2, 1], [0, 0]], weights)
    assert float(alone.p_value) == pytest.approx(1 - 0.99**3)
    assert sample_ratio_phases([[3, 5], [860, 140]], [[1, 1], [9, 1]]).mismatch


def test_experiments_with_different_phases_fit_in_one_array():
    empty = [[np.nan] * 3, [np.nan] * 3]
    both = sample_ratio_phases([COUNTS, [COUNTS[0], empty[0]], empty], [WEIGHTS, WEIGHTS, WEIGHTS])
    assert both.p_value[0] == pytest.approx(sample_ratio_phases(COUNTS, WEIGHTS).p_value)
    assert both.p_value[1] == pytest.approx(stats.chisquare(COUNTS[0][:2]).pvalue)
    assert np.isnan(both.p_value[2])
    assert both.mismatch.tolist() == [False, False, False]


def test_looked_at_all_the_time_over_a_change_of_weights_the_anytime_check_keeps_its_level_and_chi_square_does_not():
    random = np.random.default_rng(4)
    runs, n = 400, 2000
    first = random.random((runs, n)) < 0.5
    second = random.random((runs, n)) < 0.2
    looks = np.arange(50, n + 1, 50)
    counts = []
    for arms, done in ((first, None), (second, first)):
        treated = np.cumsum(arms, axis=1)[:, looks - 1]
        now = np.stack([looks - treated, treated], axis=-1)
        other = (
            np.zeros_like(now)
            if done is None
            else np.broadcast_to(np.array([n - done.sum(axis=1), done.sum(axis=1)]).T[:, None], now.shape)
        )
        counts.append(np.stack([now, other] if done is None else [other, now], axis=-2))
    counts = np.concatenate(counts, axis=1)
    weights = [[0.5, 0.5], [0.8, 0.2]]
    anytime = sample_ratio_phases_anytime(counts, weights, concentration=100.0).p_value.min(axis=1)
    fixed = sample_ratio_phases(counts, weights).p_value.min(axis=1)
    assert (anytime < 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
    assert (fixed < 0.05).mean() > 0.15


def test_a_share_that_differs_between_variants_is_that_of_a_contingency_table():
    counts, totals = [30, 55, 41], [1000, 1100, 900]
    table = [counts, [n - c for c, n in zip(counts, totals, strict=True)]]
    assert same_share(counts, totals) == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    assert same_share([30, 55, 0], [1000, 1100, 0]) == pytest.approx(
        stats.chi2_contingency([r[:2] for r in table], correction=False).pvalue
    )
    assert np.isnan(same_share([[0, 0], [5, 5], [3, 0]], [[5, 5], [5, 5], [9, 0]])).all()
