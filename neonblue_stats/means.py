"""Difference of two means, one test per row, variances not assumed equal."""

from __future__ import annotations

import numpy as np

from .effect import Effect, FloatArray, Sided, t_effect
from .moments import Moments


def welch(control: Moments, treatment: Moments, alpha: float = 0.05, *, sided: Sided = "two") -> Effect:
    """Difference of two means with unequal variances, one test per row.

        d = m_t - m_c      v_i = s_i²/n_i      se² = v_t + v_c      t = d / se
        df = se⁴ / (v_t²/(n_t - 1) + v_c²/(n_c - 1))

    Args:
        control, treatment: arrays of shape (k,), or scalars against arrays. `n` counts users, `mean` is in the
            metric's unit, `var` in that unit squared (divisor n - 1).
        alpha: false alarm rate, between 0 and 1; of both sides together when sided is 'two'.
        sided: 'two', 'greater' (treatment above control) or 'less'.
    Returns:
        Arrays of shape (k,): difference, standard error, low, high in the metric's unit; p_value in 0..1.
        low, high, p_value are nan where a side has fewer than two users or nothing varies.
    Agrees with: scipy.stats.ttest_ind_from_stats(equal_var=False), statsmodels CompareMeans(usevar='unequal'),
        tea-tasting Mean, gbstats TwoSidedTTest (absolute).
    Source:
        Welch (1947), Biometrika 34, 28-35, doi:10.1093/biomet/34.1-2.28.
        df: Satterthwaite (1946), Biometrics Bulletin 2, 110-114, doi:10.2307/3002019.
    >>> print(welch(Moments(n=400, mean=2.0, var=1.0), Moments(n=400, mean=2.2, var=1.0)).p_value.round(4))
    0.0048
    """
    estimate, standard_error = mean_difference(control, treatment)
    return t_effect(estimate, standard_error, welch_df(control, treatment), alpha=alpha, sided=sided)


def mean_difference(control: Moments, treatment: Moments) -> tuple[FloatArray, FloatArray]:
    """Difference of two means and its standard error, shape (k,) each: where sequential and Bayesian methods start."""
    with np.errstate(all="ignore"):
        variance = treatment.variance_of_mean + control.variance_of_mean
        return np.asarray(treatment.mean - control.mean), np.sqrt(variance)


def welch_df(control: Moments, treatment: Moments) -> FloatArray:
    """Satterthwaite's degrees of freedom, shape (k,); nan where nothing varies or a side has fewer than two units."""
    with np.errstate(all="ignore"):
        v_c, v_t = control.variance_of_mean, treatment.variance_of_mean
        # scaled by the larger one, so that variances of 1e-200 or 1e200 neither vanish nor overflow when squared
        top = np.maximum(v_c, v_t)
        a, b = v_t / top, v_c / top
        return np.asarray((a + b) ** 2 / (a * a / (treatment.n - 1.0) + b * b / (control.n - 1.0)))
