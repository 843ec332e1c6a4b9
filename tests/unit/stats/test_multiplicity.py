"""Adjusted p-values against statsmodels and scipy; interval levels against their decisions."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from neonblue_stats import InvalidInput, adjust, interval_alpha, intervals_at, t_effect
from neonblue_stats.multiplicity import METHODS

THEIRS = {"holm": "holm", "benjamini_hochberg": "fdr_bh", "benjamini_yekutieli": "fdr_by", "bonferroni": "bonferroni"}


@pytest.mark.parametrize("method", METHODS)
def test_adjusted_p_values_agree_with_statsmodels(method):
    rng = np.random.default_rng(2)
    for m in (1, 2, 7, 50):
        p = rng.random(m) ** 3
        p[m // 2] = p[0]  # ties
        np.testing.assert_allclose(adjust(p, method), multipletests(p, method=THEIRS[method])[1], rtol=1e-10)


@pytest.mark.parametrize(("method", "name"), [("benjamini_hochberg", "bh"), ("benjamini_yekutieli", "by")])
def test_false_discovery_rates_agree_with_scipy(method, name):
    p = np.random.default_rng(3).random(40) ** 2
    np.testing.assert_allclose(adjust(p, method), stats.false_discovery_control(p, method=name), rtol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_families_in_rows_are_adjusted_apart_and_undefined_ones_do_not_count(method):
    p = np.array([[0.01, np.nan, 0.04], [0.001, 0.5, np.nan], [np.nan, np.nan, np.nan]])
    ours = adjust(p, method)
    np.testing.assert_allclose(ours[0, [0, 2]], adjust([0.01, 0.04], method))
    np.testing.assert_allclose(ours[1, :2], adjust([0.001, 0.5], method))
    assert np.isnan(ours[np.isnan(p)]).all()


@pytest.mark.parametrize("method", METHODS)
def test_guardrails_keep_their_p_values_and_do_not_count(method):
    p, include = [0.01, 0.03, 0.04], [True, False, True]
    ours = adjust(p, method, include=include)
    assert ours[1] == 0.03
    np.testing.assert_allclose(ours[[0, 2]], adjust([0.01, 0.04], method))
    assert interval_alpha(p, method, include=include)[1] == 0.05


@pytest.mark.parametrize("method", METHODS)
def test_adjusted_intervals_leave_out_zero_exactly_where_the_adjusted_p_is_below_alpha(method):
    rng = np.random.default_rng(4)
    z = rng.normal(0.0, 2.0, (400, 8))
    effect = t_effect(z, np.ones(z.shape), np.where(rng.random(z.shape) < 0.5, 25.0, np.inf))
    low, high = intervals_at(effect, interval_alpha(effect.p_value, method))
    outside = (low > 0.0) | (high < 0.0)
    rejected = adjust(effect.p_value, method) < 0.05
    assert 100 < rejected.sum() < 2500
    assert (outside == rejected).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_single_hypothesis_is_not_adjusted(method):
    assert float(adjust([0.03], method)[0]) == 0.03
    assert float(interval_alpha([0.03], method)[0]) == pytest.approx(0.05)


def test_an_empty_family_gives_an_empty_answer():
    assert adjust([], "holm").shape == (0,)
    assert interval_alpha([], "benjamini_yekutieli").shape == (0,)


def test_impossible_input_is_refused():
    with pytest.raises(InvalidInput, match="must be one of holm"):
        adjust([0.1], "sidak")
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        adjust([1.1], "holm")
