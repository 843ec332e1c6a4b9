"""Exact tests against scipy, and the interval against its own definition."""

import numpy as np
import pytest
from scipy import stats

from neonblue_stats import InvalidInput, exact_proportions, needs_exact
from neonblue_stats.exact import _Barnard

CASES = [(20, 3, 22, 10), (12, 0, 15, 4), (50, 5, 50, 12), (8, 8, 9, 9), (30, 1, 100, 3), (10, 5, 10, 5), (7, 7, 9, 2)]
SIDES = [("two", "two-sided"), ("greater", "greater"), ("less", "less")]


def table(n_c, x_c, n_t, x_t):
    return [[x_t, x_c], [n_t - x_t, n_c - x_c]]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("sided", "alternative"), SIDES)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_p_values_agree_with_scipy(case, sided, alternative):
    barnard = exact_proportions(*case, sided=sided)
    assert barnard.test == "barnard"
    assert barnard.p_value == pytest.approx(stats.barnard_exact(table(*case), alternative=alternative).pvalue, rel=1e-7)
    fisher = exact_proportions(*case, sided=sided, test="fisher")
    assert fisher.p_value == pytest.approx(stats.fisher_exact(table(*case), alternative=alternative).pvalue, rel=1e-9)
    boschloo = exact_proportions(*case, sided=sided, test="boschloo")
    expected = min(stats.boschloo_exact(table(*case), alternative=alternative).pvalue, 1.0)
    assert boschloo.p_value == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("sided", ["two", "greater", "less"])
def test_interval_leaves_out_zero_exactly_when_p_is_below_alpha(sided, relative):
    rng = np.random.default_rng(8)
    significant = 0
    for _ in range(12):
        n_c, n_t = rng.integers(5, 30, 2)
        x_c, x_t = rng.integers(1, n_c + 1), rng.integers(0, n_t + 1)
        ours = exact_proportions(int(n_c), int(x_c), int(n_t), int(x_t), sided=sided, relative=relative)
        outside = ours.low > 0.0 or ours.high < 0.0
        assert outside == (ours.p_value < 0.05), (n_c, x_c, n_t, x_t)
        assert ours.low <= ours.estimate <= ours.high
        significant += outside
    assert 0 < significant < 12


@pytest.mark.parametrize(("relative", "at"), [(False, lambda e: e), (True, lambda e: 1.0 + e)])
def test_ends_of_the_interval_are_where_the_test_turns(relative, at):
    ours = exact_proportions(40, 6, 45, 15, relative=relative)
    problem = _Barnard(40, 6, 45, 15, "two", relative)
    for end, outward in ((ours.low, -1e-4), (ours.high, 1e-4)):
        assert problem.p_value(at(end + outward)) < 0.05
        assert problem.p_value(at(end - outward)) >= 0.05


def test_score_statistic_uses_the_most_likely_proportions_under_the_null():
    from neonblue_stats.exact import restricted_difference, restricted_ratio

    n_c, x_c, n_t, x_t = 40, 6, 45, 15
    grid = np.linspace(1e-6, 1 - 1e-6, 200_001)

    def best(p_t):
        ok = (p_t > 0) & (p_t < 1)
        p_c, p_t = grid[ok], p_t[ok]
        log_l = x_c * np.log(p_c) + (n_c - x_c) * np.log1p(-p_c) + x_t * np.log(p_t) + (n_t - x_t) * np.log1p(-p_t)
        return p_c[log_l.argmax()]

    for d in (-0.3, -0.01, 0.05, 0.4):
        ours = restricted_difference(n_c, np.array(x_c / n_c), n_t, np.array(x_t / n_t), d)
        assert float(ours) == pytest.approx(best(grid + d), abs=1e-5)
    for r in (0.2, 0.9, 1.5, 4.0):
        ours = restricted_ratio(n_c, np.array(x_c / n_c), n_t, np.array(x_t / n_t), r)
        assert float(ours) == pytest.approx(best(grid * r), abs=1e-5)


def test_many_possible_tables_are_left_to_fisher_without_an_interval():
    ours = exact_proportions(2000, 3, 2000, 12)
    assert ours.test == "fisher"
    assert np.isnan([ours.low, ours.high]).all()


def test_swapping_the_variants_mirrors_the_result():
    ours, swapped = exact_proportions(20, 3, 22, 10), exact_proportions(22, 10, 20, 3)
    assert ours.p_value == pytest.approx(swapped.p_value, rel=1e-9)
    assert (ours.low, ours.high) == pytest.approx((-swapped.high, -swapped.low), abs=1e-8)


def test_rule_asks_for_exact_below_five_expected_successes_or_failures():
    needed = needs_exact([100, 100, 100, 1000], [3, 5, 97, 3], [100, 100, 100, 50], [4, 6, 99, 0])
    assert needed.tolist() == [True, False, True, True]


def test_impossible_counts_are_refused():
    with pytest.raises(InvalidInput, match="found 11 successes of 10"):
        exact_proportions(10, 11, 10, 3)
    with pytest.raises(InvalidInput, match="must be one of auto"):
        exact_proportions(10, 1, 10, 3, test="chi")
