"""Sample ratio checks against scipy, gbstats, tea-tasting and enumeration."""

from itertools import product

import numpy as np
import pytest
import tea_tasting as tt
from gbstats.utils import check_srm
from scipy import stats

from neonblue_stats import (
    InvalidInput,
    sample_ratio,
    sample_ratio_anytime,
    sample_ratio_auto,
    sample_ratio_by_dimension,
    sample_ratio_exact,
)

CASES = [([44700, 45489], [1, 1]), ([100, 120, 310], [0.2, 0.2, 0.6]), ([5000, 4800, 5200, 5001], [25, 25, 25, 25])]


@pytest.mark.parametrize(("counts", "weights"), CASES)
def test_chi_square_agrees_with_scipy_and_gbstats(counts, weights):
    ours = float(sample_ratio(counts, weights).p_value)
    expected = np.array(weights) / sum(weights) * sum(counts)
    assert ours == pytest.approx(stats.chisquare(counts, expected).pvalue, rel=1e-10)
    assert ours == pytest.approx(check_srm(counts, weights), rel=1e-10)


def test_cookie_cats_split_agrees_with_tea_tasting_and_the_published_figure():
    sides = {v: tt.aggr.Aggregates(count_=n) for v, n in (("a", 44700), ("b", 45489))}
    theirs = tt.SampleRatio(method="norm", correction=False).analyze(sides, "a", "b")
    assert float(sample_ratio([44700, 45489], [1, 1]).p_value) == pytest.approx(theirs.pvalue, rel=1e-9)
    assert float(sample_ratio([44700, 45489], [1, 1]).p_value) == pytest.approx(0.0086, abs=5e-5)


def test_experiments_with_fewer_variants_share_an_array_through_nan():
    ours = sample_ratio([[10, 20, np.nan], [10, 20, 30], [0, 0, np.nan]], [[1, 1, 0], [1, 1, 1], [1, 1, np.nan]])
    assert ours.p_value[0] == pytest.approx(float(sample_ratio([10, 20], [1, 1]).p_value))
    assert ours.p_value[1] == pytest.approx(float(sample_ratio([10, 20, 30], [1, 1, 1]).p_value))
    assert np.isnan(ours.p_value[2])
    assert not ours.mismatch[2]


@pytest.mark.parametrize(("counts", "weights"), [([7, 1], [1, 1]), ([2, 9], [0.4, 0.6]), ([0, 3], [1, 1])])
def test_exact_check_of_two_variants_agrees_with_the_binomial_test(counts, weights):
    expected = stats.binomtest(counts[0], sum(counts), weights[0] / sum(weights)).pvalue
    assert float(sample_ratio_exact(counts, weights).p_value) == pytest.approx(expected, rel=1e-10)


def test_exact_check_of_three_variants_agrees_with_enumeration():
    counts, share = [7, 1, 3], np.array([0.25, 0.25, 0.5])
    law = stats.multinomial(11, share)
    seen = law.pmf(counts)
    splits = (s for s in product(range(12), repeat=3) if sum(s) == 11)
    expected = sum(p for p in (law.pmf(s) for s in splits) if p <= seen * (1 + 1e-9))
    assert float(sample_ratio_exact(counts, share).p_value) == pytest.approx(expected, rel=1e-9)


def test_more_splits_than_can_be_enumerated_are_checked_by_a_p_value_that_is_never_too_small():
    counts, share = [1500, 1493, 7], np.array([1, 1, 0.001]) / 2.001
    ours = float(sample_ratio_exact(counts, share).p_value)
    law = stats.multinomial(3000, share)
    drawn = np.random.default_rng(5).multinomial(3000, share, 200_000)
    simulated = float(np.mean(law.logpmf(drawn) <= law.logpmf(counts) + 1e-9))
    assert simulated == pytest.approx(0.0022, abs=0.0004)
    assert simulated < ours < 3 * simulated
    assert ours == pytest.approx(3 * stats.binomtest(7, 3000, share[2]).pvalue)
    # Far too uneven: as certain as chi-square is.
    assert float(sample_ratio_exact([2000, 993, 7], share).p_value) < 1e-60


def test_small_samples_are_checked_exactly_and_large_ones_by_chi_square_in_one_array():
    counts = [[3, 5, np.nan], [300, 500, 0], [0, 0, 0], [7, 1, 3], [2, 1, 9]]
    weights = [[1, 1, 0], [1, 1, 0], [1, 1, 1], [0.25, 0.25, 0.5], [0.99, 0.01, 0]]
    ours, exact = sample_ratio_auto(counts, weights)
    assert exact.tolist() == [True, False, False, True, True]
    alone = [
        stats.binomtest(3, 8).pvalue,
        stats.chisquare([300, 500]).pvalue,
        np.nan,
        float(sample_ratio_exact(counts[3], weights[3]).p_value),
        1 - 0.99**3,
    ]
    np.testing.assert_allclose(ours.p_value, alone, rtol=1e-9)
    assert ours.mismatch.tolist() == [p < 0.001 for p in alone]
    assert np.isnan(ours.statistic[[0, 2, 3, 4]]).all()


def test_anytime_check_is_the_dirichlet_multinomial_bayes_factor():
    counts, share = np.array([30, 50, 20]), np.array([0.4, 0.4, 0.2])
    theirs = stats.dirichlet_multinomial(100.0 * share, 100).pmf(counts) / stats.multinomial(100, share).pmf(counts)
    ours = sample_ratio_anytime(counts, share, concentration=100.0)
    assert float(ours.statistic) == pytest.approx(np.log(theirs), rel=1e-8)
    assert float(ours.p_value) == pytest.approx(min(1.0, 1.0 / theirs), rel=1e-8)


def test_anytime_check_finds_a_large_mismatch():
    assert bool(sample_ratio_anytime([50_000, 53_000], [1, 1]).mismatch)
    assert not bool(sample_ratio_anytime([50_000, 50_100], [1, 1]).mismatch)


def test_dimension_check_is_corrected_for_its_values():
    counts = [[500, 420], [300, 310], [40, 38]]
    plain = sample_ratio(counts, [1, 1]).p_value
    assert float(sample_ratio_by_dimension(counts, [1, 1]).p_value[0]) == pytest.approx(3 * plain[0], rel=1e-12)


def test_dimension_check_is_exact_where_few_users_are_expected():
    ours = sample_ratio_by_dimension([[9900, 100], [2, 1]], [0.99, 0.01])
    assert ours.p_value.tolist() == pytest.approx([1, 2 * (1 - 0.99**3)])
    assert not ours.mismatch.any()


def test_negative_counts_are_refused():
    with pytest.raises(InvalidInput, match="0 or more"):
        sample_ratio([-1, 5], [1, 1])
