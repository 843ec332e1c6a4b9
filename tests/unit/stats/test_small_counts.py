"""Small counts of proportions: the exact test and its interval, held against statsmodels and the exact inversion."""

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.stats.proportion import confint_proportions_2indep

from neonblue_stats import exact_p_value, exact_proportions, score_interval, small_counts

CASES = [(30, 1, 30, 4), (50, 2, 40, 0), (25, 3, 60, 9), (40, 0, 40, 3), (1000, 3, 4000, 40), (200_000, 4, 100_000, 9)]


def test_the_score_interval_of_a_lift_is_that_of_statsmodels() -> None:
    cases = [case for case in CASES if case[1] and case[3]]
    low, high = score_interval(*np.array(cases).T, relative=True)
    for i, (n_c, x_c, n_t, x_t) in enumerate(cases):
        expected = confint_proportions_2indep(x_t, n_t, x_c, n_c, method="score", compare="ratio", correction=False)
        assert np.array([low[i], high[i]]) + 1 == pytest.approx(np.array(expected), rel=1e-5)


def likeliest(d: float, n_c: int, x_c: int, n_t: int, x_t: int) -> float:
    """The control's proportion with the largest likelihood if the treatment's is higher by d, found numerically."""

    def unlikely(p: float) -> float:
        return -float(stats.binom.logpmf(x_c, n_c, p) + stats.binom.logpmf(x_t, n_t, p + d))

    bounds = (max(0.0, -d), min(1.0, 1.0 - d))
    return float(optimize.minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x)


def test_at_the_ends_of_the_score_interval_of_a_difference_the_score_is_its_quantile() -> None:
    low, high = score_interval(*np.array(CASES).T)  # statsmodels has another variance here
    for i, (n_c, x_c, n_t, x_t) in enumerate(CASES):
        for d in (low[i], high[i]):
            p = likeliest(d, n_c, x_c, n_t, x_t)
            variance = p * (1 - p) / n_c + (p + d) * (1 - p - d) / n_t
            assert abs(x_t / n_t - x_c / n_c - d) / variance**0.5 == pytest.approx(1.959964, rel=1e-4)


def test_the_p_value_is_that_of_the_exact_test() -> None:
    found = small_counts(*np.array(CASES).T)
    for i, case in enumerate(CASES):
        assert (found.p_value[i], found.test[i]) == exact_p_value(*case)
    assert found.test == ["barnard"] * 4 + ["fisher"] * 2
    whole = exact_proportions(*CASES[0])
    assert (found.p_value[0], found.estimate[0]) == (whole.p_value, whole.estimate)


@pytest.mark.parametrize("relative", [False, True])
def test_interval_and_p_value_never_contradict_each_other(relative: bool) -> None:
    random = np.random.default_rng(4)
    n_c, n_t = random.integers(5, 60, (2, 300))
    x_c, x_t = random.integers(0, n_c // 3 + 1), random.integers(0, n_t // 2 + 1)
    found = small_counts(n_c, x_c, n_t, x_t, alpha=0.1, relative=relative)
    defined = np.isfinite(found.estimate)
    assert defined.all() == (not relative)
    leaves_out = (found.low > 0) | (found.high < 0)
    assert (leaves_out == (found.p_value < 0.1))[defined].all()
    assert 20 < leaves_out.sum() < 280
    assert (found.low <= found.estimate)[defined].all()
    assert (found.high >= found.estimate)[defined].all()
    assert np.isnan(found.low[~defined]).all()


def test_the_interval_is_close_to_the_inversion_of_the_exact_test() -> None:
    found = small_counts(30, 1, 30, 4)
    exact = exact_proportions(30, 1, 30, 4)
    assert (found.low[0], found.high[0]) == (pytest.approx(exact.low, abs=0.02), pytest.approx(exact.high, abs=0.02))


def test_nobody_in_both_variants_has_an_interval_around_no_effect() -> None:
    found = small_counts(40, 0, 40, 0)
    assert found.p_value[0] == 1
    assert -0.1 < found.low[0] < 0 < found.high[0] < 0.1
    assert np.isnan(small_counts(40, 0, 40, 0, relative=True).low[0])


def test_a_variant_without_users_is_compared_with_nothing() -> None:
    for relative in (False, True):
        found = small_counts([0, 5], [0, 2], [5, 0], [2, 0], relative=relative)
        for name in ("estimate", "low", "high", "p_value"):
            assert np.isnan(getattr(found, name)).all(), name


def test_a_lift_that_is_not_defined_has_no_p_value() -> None:
    assert np.isnan(small_counts(40, 0, 40, 3, relative=True).p_value[0])
    assert small_counts(40, 0, 40, 3).p_value[0] < 1
