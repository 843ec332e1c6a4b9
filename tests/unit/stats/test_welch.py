"""Difference of means against scipy, statsmodels, gbstats and tea-tasting."""

import numpy as np
import pytest
import tea_tasting as tt
from gbstats.frequentist.tests import (
    FrequentistConfig,
    OneSidedTreatmentGreaterTTest,
    TwoSidedTTest,
)
from gbstats.models.statistics import SampleMeanStatistic
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW
from tea_tasting.aggr import Aggregates

from neonblue_stats import Moments, welch
from neonblue_stats.effect import t_quantile
from tests.unit.stats.fix_arms import arm, many

CONTROL, TREATMENT = arm(1, 400), arm(2, 350, lift=0.05)


def test_welch_agrees_with_scipy_on_every_row_and_side():
    control, treatment = many(3, 500)
    for sided, alternative in (("two", "two-sided"), ("greater", "greater"), ("less", "less")):
        ours = welch(control, treatment, 0.1, sided=sided)
        theirs = stats.ttest_ind_from_stats(
            treatment.mean, np.sqrt(treatment.var), treatment.n, control.mean, np.sqrt(control.var), control.n,
            equal_var=False, alternative=alternative,
        )  # fmt: skip
        np.testing.assert_allclose(ours.p_value, theirs.pvalue, rtol=1e-9, atol=1e-300)


def test_welch_interval_agrees_with_statsmodels():
    compared = CompareMeans(DescrStatsW(TREATMENT.y), DescrStatsW(CONTROL.y))
    for sided, alternative in (("two", "two-sided"), ("greater", "larger"), ("less", "smaller")):
        ours = welch(CONTROL.moments, TREATMENT.moments, sided=sided)
        expected = compared.tconfint_diff(alpha=0.05, alternative=alternative, usevar="unequal")
        np.testing.assert_allclose((ours.low, ours.high), expected, rtol=1e-9)
        assert ours.p_value == pytest.approx(compared.ttest_ind(alternative, "unequal")[1], rel=1e-9)


def test_welch_agrees_with_gbstats():
    a, b = (SampleMeanStatistic(n=v.n, sum=v.sums["sum"], sum_squares=v.sums["sum_squares"])
            for v in (CONTROL, TREATMENT))  # fmt: skip
    config = FrequentistConfig(difference_type="absolute")
    theirs = TwoSidedTTest(a, b, config).compute_result()
    ours = welch(CONTROL.moments, TREATMENT.moments)
    np.testing.assert_allclose(
        (ours.estimate, ours.low, ours.high, ours.p_value), (theirs.expected, *theirs.ci, theirs.p_value), rtol=1e-9
    )
    one = OneSidedTreatmentGreaterTTest(a, b, config).compute_result()
    ours = welch(CONTROL.moments, TREATMENT.moments, sided="greater")
    np.testing.assert_allclose((ours.low, ours.p_value), (one.ci[0], one.p_value), rtol=1e-9)


def test_welch_agrees_with_tea_tasting():
    sides = [Aggregates(count_=v.n, mean_={"y": v.y.mean()}, var_={"y": v.y.var(ddof=1)}) for v in (CONTROL, TREATMENT)]
    for sided, alternative in (("two", "two-sided"), ("greater", "greater"), ("less", "less")):
        theirs = tt.Mean("y", alternative=alternative, equal_var=False, use_t=True).analyze_aggregates(*sides)
        ours = welch(CONTROL.moments, TREATMENT.moments, sided=sided)
        np.testing.assert_allclose(
            (ours.estimate, ours.low, ours.high, ours.p_value),
            (theirs.effect_size, theirs.effect_size_ci_lower, theirs.effect_size_ci_upper, theirs.pvalue),
            rtol=1e-9,
        )


def test_a_single_number_gives_what_an_array_of_one_gives():
    one = welch(Moments(10, 1.0, 2.0), Moments(12, 2.0, 3.0))
    row = welch(Moments([10], [1.0], [2.0]), Moments([12], [2.0], [3.0]))
    assert [float(f) for f in one] == [float(f[0]) for f in row]


@pytest.mark.parametrize("probability", [0.6, 0.9, 0.975, 0.9995, 1 - 1e-6, 0.02, 1e-5])
def test_t_quantiles_agree_with_scipy_on_both_sides_of_the_expansion(probability):
    df = np.array([1.0, 2.5, 30.0, 999.9, 1000.0, 1234.5, 1e5, 1e9, 1e14])
    np.testing.assert_allclose(t_quantile(df, probability), stats.t.ppf(probability, df), rtol=1e-11)


def test_a_non_inferiority_margin_moves_the_test_but_not_the_interval():
    from neonblue_stats import non_inferiority, t_effect

    plain = t_effect(0.1, 0.2, 30.0)
    moved = t_effect(0.1, 0.2, 30.0, null=-0.3, sided="greater")
    assert float(non_inferiority(0.1, 0.2, 0.3, 30.0)) == pytest.approx(float(moved.p_value), rel=1e-12)
    assert float(moved.p_value) == pytest.approx(stats.t.sf(2.0, 30.0), rel=1e-9)
    assert plain.estimate == moved.estimate
