"""Ratios of sums and CUPED against gbstats, tea-tasting and a regression."""

import numpy as np
import pytest
import tea_tasting as tt
from gbstats.frequentist.tests import FrequentistConfig, TwoSidedTTest
from gbstats.models.statistics import RatioStatistic, RegressionAdjustedStatistic, SampleMeanStatistic
from tea_tasting.aggr import Aggregates

from neonblue_stats import InvalidInput, cuped, ratio_difference, ratio_lift, relative_lift, welch
from tests.unit.stats.fix_arms import Arm, arm

CONTROL, TREATMENT = arm(11, 900), arm(12, 1000, lift=0.06)
COLUMNS = ("y", "d", "x", "e")


def aggregates(v: Arm) -> Aggregates:
    columns = {name: getattr(v, name) for name in COLUMNS}
    return Aggregates(
        count_=v.n,
        mean_={k: float(c.mean()) for k, c in columns.items()},
        var_={k: float(c.var(ddof=1)) for k, c in columns.items()},
        cov_={(a, b): float(np.cov(columns[a], columns[b])[0, 1]) for a in COLUMNS for b in COLUMNS if a < b},
    )


def gb_mean(c: np.ndarray) -> SampleMeanStatistic:
    return SampleMeanStatistic(n=len(c), sum=float(c.sum()), sum_squares=float((c * c).sum()))


def gb_ratio(v: Arm) -> RatioStatistic:
    return RatioStatistic(
        n=v.n, m_statistic=gb_mean(v.y), d_statistic=gb_mean(v.d), m_d_sum_of_products=float((v.y * v.d).sum())
    )


def gb_cuped(v: Arm) -> RegressionAdjustedStatistic:
    return RegressionAdjustedStatistic(
        n=v.n, post_statistic=gb_mean(v.y), pre_statistic=gb_mean(v.x),
        post_pre_sum_of_products=float((v.x * v.y).sum()), theta=0,
    )  # fmt: skip


def as_tuple(effect):
    return tuple(float(f) for f in (effect.estimate, effect.low, effect.high, effect.p_value))


def tea(result):
    return (result.effect_size, result.effect_size_ci_lower, result.effect_size_ci_upper, result.pvalue)


@pytest.mark.parametrize("kind", ["absolute", "relative"])
def test_ratio_agrees_with_gbstats(kind):
    theirs = TwoSidedTTest(
        gb_ratio(CONTROL), gb_ratio(TREATMENT), FrequentistConfig(difference_type=kind)
    ).compute_result()
    function = ratio_difference if kind == "absolute" else ratio_lift
    ours = function(CONTROL.joint("y", "d"), TREATMENT.joint("y", "d"))
    np.testing.assert_allclose(as_tuple(ours), (theirs.expected, *theirs.ci, theirs.p_value), rtol=1e-7)


def test_ratio_agrees_with_tea_tasting():
    theirs = tt.RatioOfMeans("y", "d", equal_var=False, use_t=True)
    ours = ratio_difference(CONTROL.joint("y", "d"), TREATMENT.joint("y", "d"))
    expected = theirs.analyze_aggregates(aggregates(CONTROL), aggregates(TREATMENT))
    np.testing.assert_allclose(as_tuple(ours), tea(expected), rtol=1e-8)


def test_cuped_of_a_mean_agrees_with_gbstats():
    theirs = TwoSidedTTest(
        gb_cuped(CONTROL), gb_cuped(TREATMENT), FrequentistConfig(difference_type="absolute")
    ).compute_result()
    ours = cuped(CONTROL.joint("y", "x"), TREATMENT.joint("y", "x"))
    np.testing.assert_allclose(as_tuple(ours.effect), (theirs.expected, *theirs.ci, theirs.p_value), rtol=1e-7)


def test_cuped_of_a_mean_agrees_with_tea_tasting():
    theirs = tt.Mean("y", "x", equal_var=False, use_t=True)
    ours = cuped(CONTROL.joint("y", "x"), TREATMENT.joint("y", "x"))
    expected = theirs.analyze_aggregates(aggregates(CONTROL), aggregates(TREATMENT))
    np.testing.assert_allclose(as_tuple(ours.effect), tea(expected), rtol=1e-8)
    np.testing.assert_allclose(
        (ours.control_mean, ours.treatment_mean), (expected.control, expected.treatment), rtol=1e-9
    )


def test_cuped_of_a_ratio_agrees_with_tea_tasting():
    theirs = tt.RatioOfMeans("y", "d", "x", "e", equal_var=False, use_t=True)
    expected = theirs.analyze_aggregates(aggregates(CONTROL), aggregates(TREATMENT))
    ours = cuped(CONTROL.joint(*COLUMNS), TREATMENT.joint(*COLUMNS), kind="ratio")
    np.testing.assert_allclose(as_tuple(ours.effect), tea(expected), rtol=1e-7)


def test_cuped_of_a_ratio_by_one_covariate_agrees_with_tea_tasting():
    theirs = tt.RatioOfMeans("y", "d", "x", equal_var=False, use_t=True)
    expected = theirs.analyze_aggregates(aggregates(CONTROL), aggregates(TREATMENT))
    ours = cuped(CONTROL.joint("y", "d", "x"), TREATMENT.joint("y", "d", "x"), kind="ratio")
    np.testing.assert_allclose(as_tuple(ours.effect), tea(expected), rtol=1e-7)


def test_relative_cuped_has_the_estimate_of_gbstats_and_nearly_its_error():
    # its release 0.8 leaves out a term of order lift² (see the docstring), so the error agrees to three digits only
    theirs = TwoSidedTTest(gb_cuped(CONTROL), gb_cuped(TREATMENT), FrequentistConfig()).compute_result()
    ours = cuped(CONTROL.joint("y", "x"), TREATMENT.joint("y", "x"), relative=True).effect
    assert float(ours.estimate) == pytest.approx(theirs.expected, rel=1e-9)
    assert float(ours.standard_error) == pytest.approx(theirs.uplift.stddev, rel=3e-3)


def test_relative_cuped_variance_is_the_gradient_of_the_estimate():
    c, t = CONTROL.joint("y", "x"), TREATMENT.joint("y", "x")
    theta = float(cuped(c, t).theta)

    def lift(y_c, x_c, y_t, x_t):
        # the slope is held fixed: its own error is of smaller order
        return (y_t - theta * x_t - y_c + theta * x_c) / abs(y_c)

    means = np.array([c.mean[0], c.mean[1], t.mean[0], t.mean[1]], dtype=float)
    gradient = [(lift(*(means + step)) - lift(*(means - step))) / 2e-6 for step in 1e-6 * np.eye(4)]
    g_c, g_t = np.array(gradient[:2]), np.array(gradient[2:])
    exact = g_c @ c.cov @ g_c / c.n + g_t @ t.cov @ g_t / t.n
    ours = cuped(c, t, relative=True).effect.standard_error
    # the plain treatment mean stands for the adjusted one in the control's gradient: equal in the limit
    assert float(ours) == pytest.approx(np.sqrt(exact), rel=5e-3)


def test_cuped_reports_the_squared_correlation_as_variance_removed():
    ours = cuped(CONTROL.joint("y", "x"), TREATMENT.joint("y", "x"))
    y, x = np.concatenate([CONTROL.y, TREATMENT.y]), np.concatenate([CONTROL.x, TREATMENT.x])
    assert float(ours.theta) == pytest.approx(np.cov(y, x)[0, 1] / x.var(ddof=1), rel=1e-9)
    assert float(ours.variance_reduction) == pytest.approx(np.corrcoef(y, x)[0, 1] ** 2, abs=0.01)
    plain = welch(CONTROL.moments, TREATMENT.moments)
    assert float(1 - (ours.effect.standard_error / plain.standard_error) ** 2) == pytest.approx(
        float(ours.variance_reduction), rel=1e-9
    )


def test_cuped_with_a_constant_covariate_is_the_plain_comparison():
    c = Arm(CONTROL.y, np.full(CONTROL.n, 3.0), CONTROL.d, CONTROL.e)
    t = Arm(TREATMENT.y, np.full(TREATMENT.n, 3.0), TREATMENT.d, TREATMENT.e)
    ours = cuped(c.joint("y", "x"), t.joint("y", "x"))
    np.testing.assert_allclose(as_tuple(ours.effect), as_tuple(welch(CONTROL.moments, TREATMENT.moments)), rtol=1e-9)
    assert (float(ours.theta), float(ours.variance_reduction)) == (0.0, 0.0)
    relative = cuped(c.joint("y", "x"), t.joint("y", "x"), relative=True).effect
    np.testing.assert_allclose(
        as_tuple(relative), as_tuple(relative_lift(CONTROL.moments, TREATMENT.moments)), rtol=1e-9
    )


def test_users_without_history_enter_as_zero_and_leave_the_estimate_unbiased():
    c, t = arm(21, 20_000), arm(22, 20_000)
    rng = np.random.default_rng(5)
    new_c, new_t = rng.random(c.n) < 0.3, rng.random(t.n) < 0.3
    c0 = Arm(c.y, np.where(new_c, 0.0, c.x), c.d, c.e)
    t0 = Arm(t.y, np.where(new_t, 0.0, t.x), t.d, t.e)
    ours = cuped(c0.joint("y", "x"), t0.joint("y", "x"))
    assert abs(float(ours.effect.estimate)) < 3.0 * float(ours.effect.standard_error)
    assert 0.0 < float(ours.variance_reduction) < float(cuped(c.joint("y", "x"), t.joint("y", "x")).variance_reduction)


def test_cuped_refuses_the_wrong_number_of_variables():
    with pytest.raises(InvalidInput, match="CUPED of a mean needs 2"):
        cuped(CONTROL.joint("y", "d", "x"), TREATMENT.joint("y", "d", "x"))


def test_a_ratio_over_nothing_is_undefined():
    nothing = Arm(CONTROL.y, CONTROL.x, np.zeros(CONTROL.n), CONTROL.e)
    ours = ratio_difference(nothing.joint("y", "d"), TREATMENT.joint("y", "d"))
    assert np.isnan(as_tuple(ours)).all()
