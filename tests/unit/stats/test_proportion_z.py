"""Difference of proportions against statsmodels, and the pooled test beside it."""

import numpy as np
import pytest
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportions_ztest,
)
from statsmodels.stats.proportion import (
    test_proportions_2indep as two_proportions,
)

from neonblue_stats import Moments, two_proportion_z
from neonblue_stats.proportions import pooled_z_p_value

CASES = [(44700, 8502, 45489, 8279), (1000, 100, 1000, 130), (50, 5, 2000, 400), (10**9, 10**8, 10**9, 100_020_000)]


@pytest.mark.parametrize(("n_c", "x_c", "n_t", "x_t"), CASES)
@pytest.mark.parametrize(("sided", "alternative"), [("two", "two-sided"), ("greater", "larger"), ("less", "smaller")])
def test_z_test_agrees_with_statsmodels_wald(n_c, x_c, n_t, x_t, sided, alternative):
    ours = two_proportion_z(Moments.from_proportion(n_c, x_c), Moments.from_proportion(n_t, x_t), sided=sided)
    theirs = two_proportions(x_t, n_t, x_c, n_c, method="wald", alternative=alternative)
    assert float(ours.estimate) == pytest.approx(x_t / n_t - x_c / n_c, rel=1e-12)
    assert float(ours.p_value) == pytest.approx(theirs.pvalue, rel=1e-9)


@pytest.mark.parametrize(("n_c", "x_c", "n_t", "x_t"), CASES)
def test_interval_agrees_with_statsmodels_wald(n_c, x_c, n_t, x_t):
    ours = two_proportion_z(Moments.from_proportion(n_c, x_c), Moments.from_proportion(n_t, x_t), 0.1)
    theirs = confint_proportions_2indep(x_t, n_t, x_c, n_c, method="wald", compare="diff", alpha=0.1)
    np.testing.assert_allclose((ours.low, ours.high), theirs, rtol=1e-9)


@pytest.mark.parametrize(("n_c", "x_c", "n_t", "x_t"), CASES)
def test_pooled_p_value_agrees_with_proportions_ztest(n_c, x_c, n_t, x_t):
    ours = pooled_z_p_value(Moments.from_proportion(n_c, x_c), Moments.from_proportion(n_t, x_t))
    assert float(ours) == pytest.approx(proportions_ztest([x_t, x_c], [n_t, n_c])[1], rel=1e-9)


def test_cookie_cats_retention_gives_the_published_figures():
    ours = two_proportion_z(Moments.from_proportion(44700, 8502), Moments.from_proportion(45489, 8279))
    assert float(ours.estimate) == pytest.approx(-0.0082, abs=5e-5)
    assert float(ours.p_value) == pytest.approx(0.00156, abs=5e-6)


def test_nothing_is_tested_where_nobody_or_everybody_did_it():
    nobody = two_proportion_z(Moments.from_proportion([10, 10], [0, 10]), Moments.from_proportion([12, 12], [0, 12]))
    assert np.isnan([nobody.low, nobody.high, nobody.p_value]).all()
    assert (nobody.estimate == 0.0).all()
