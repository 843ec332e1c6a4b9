"""Post-stratification and segments against a regression, statsmodels and plain formulas."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from neonblue_stats import Moments, by_segment, post_stratify, relative_lift, t_effect, welch


def strata(seed: int, sizes: list[int], levels: list[float], effect: float = 0.0):
    """Values per stratum and the Moments of them, shape (strata, 1)."""
    rng = np.random.default_rng(seed)
    values = [rng.normal(level + effect, 1.0, n) for n, level in zip(sizes, levels, strict=True)]
    return values, Moments(*(np.array([[f(v)] for v in values]) for f in (len, np.mean, lambda v: v.var(ddof=1))))


def test_estimate_agrees_with_a_regression_on_centred_strata_and_their_interactions():
    levels = [0.0, 3.0, 8.0]
    c, mc = strata(1, [200, 150, 90], levels)
    t, mt = strata(2, [180, 170, 120], levels, 0.3)
    y = np.concatenate(c + t)
    arm = np.r_[np.zeros(440), np.ones(470)]
    group = np.r_[np.repeat([0, 1, 2], [200, 150, 90]), np.repeat([0, 1, 2], [180, 170, 120])]
    dummies = np.column_stack([(group == g) - (group == g).mean() for g in (1, 2)])
    design = np.column_stack([np.ones(len(y)), arm, dummies, arm[:, None] * dummies])
    fitted = sm.OLS(y, design).fit(cov_type="HC2")
    ours = post_stratify(mc, mt)
    assert float(ours.effect.estimate[0]) == pytest.approx(fitted.params[1], rel=1e-9)
    # HC2 of the saturated regression is the sum of W² s²/n over cells
    assert float(ours.effect.standard_error[0]) == pytest.approx(fitted.bse[1], rel=1e-9)
    assert float(ours.variance_reduction[0]) > 0.5


def test_one_stratum_is_the_plain_comparison():
    _, mc = strata(3, [50], [1.0])
    _, mt = strata(4, [60], [1.0], 0.2)
    for relative, plain in ((False, welch), (True, relative_lift)):
        ours = post_stratify(mc, mt, relative=relative).effect
        expected = plain(mc, mt)
        for field in ("estimate", "standard_error", "low", "high", "p_value"):
            assert float(getattr(ours, field)[0]) == pytest.approx(float(getattr(expected, field)[0, 0]), rel=1e-9)


def test_strata_too_thin_are_compared_together_and_lose_nobody():
    # the second stratum has one user in the control, the third one in the treatment
    control = Moments([100.0, 1.0, 4.0], [0.1, 5.2, 4.9], [1.0, np.nan, 1.2])
    treatment = Moments([100.0, 5.0, 1.0], [0.3, 5.1, 5.6], [0.9, 0.8, np.nan])
    ours = post_stratify(control, treatment).effect

    def merged(g: Moments) -> Moments:
        rest = Moments(g.n[1], g.mean[1], g.var[1]) + Moments(g.n[2], g.mean[2], g.var[2])
        return Moments([g.n[0], rest.n], [g.mean[0], rest.mean], [g.var[0], rest.var])

    by_hand = post_stratify(merged(control), merged(treatment)).effect
    assert float(ours.estimate) == pytest.approx(float(by_hand.estimate), rel=1e-12)
    assert float(ours.standard_error) == pytest.approx(float(by_hand.standard_error), rel=1e-12)


def test_interaction_statistic_agrees_with_statsmodels():
    rng = np.random.default_rng(7)
    d, se = rng.normal(0.1, 0.2, (6, 3)), rng.uniform(0.05, 0.3, (6, 3))
    ours = by_segment(t_effect(d, se))
    for column in range(3):
        theirs = combine_effects(d[:, column], se[:, column] ** 2, method_re="dl")
        assert float(ours.interaction_statistic[column]) == pytest.approx(theirs.q, rel=1e-9)
        assert float(ours.interaction_p_value[column]) == pytest.approx(stats.chi2.sf(theirs.q, 5), rel=1e-9)


def test_interaction_of_two_segments_is_the_z_test_of_their_difference():
    ours = by_segment(t_effect([[0.1], [0.9]], [[0.2], [0.3]]))
    assert float(ours.interaction_p_value[0]) == pytest.approx(2 * stats.norm.sf(0.8 / np.hypot(0.2, 0.3)), rel=1e-9)


def test_a_segment_that_differs_is_warned_of_and_undefined_ones_are_left_out():
    effects = t_effect([[0.0], [0.01], [1.0], [np.nan]], [[0.1], [0.1], [0.1], [np.nan]])
    ours = by_segment(effects)
    assert bool(ours.differs[0])
    assert np.isnan(ours.effects.p_value[3, 0])
    np.testing.assert_allclose(ours.effects.p_value[2, 0], 3 * effects.p_value[2, 0])
    alone = by_segment(t_effect([[0.5]], [[0.1]]))
    assert np.isnan(alone.interaction_p_value[0])
    assert not alone.differs[0]
