"""Relative lift: the difference as a fraction of the control's mean, by the delta method."""

from __future__ import annotations

import numpy as np

from .effect import Effect, FloatArray, Sided, t_effect
from .means import welch_df
from .moments import Moments


def relative_lift(
    control: Moments, treatment: Moments, alpha: float = 0.05, *, sided: Sided = "two", normal: bool = False
) -> Effect:
    """(m_t - m_c) / |m_c|, one test per row.

        lift = (m_t - m_c)/|m_c|      se² = v_t/m_c² + v_c m_t²/m_c⁴      v_i = s_i²/n_i

    Divided by the size of the control's mean, so that a lift is positive when the treatment is higher, whatever the
    sign of the control's mean. Degrees of freedom are those of the difference (Welch); `normal` uses the normal law,
    for proportions.

    Returns:
        Arrays of shape (k,), fractions of the control's mean (0.05 is +5 %). Everything is nan where the control's
        mean is 0; low, high, p_value where nothing varies. The p-value belongs to this interval: it tests lift = 0
        with the lift's standard error, and may differ in later digits from the p-value of the difference.
    Agrees with: gbstats TwoSidedTTest (relative). tea-tasting builds its interval on the log of the ratio and takes
        its p-value from the difference; both agree with this one as n grows.
    Source: Deng, Knoblich and Lu (2018), Applying the delta method in metric analytics, KDD, arXiv:1803.06336.
    >>> print(relative_lift(Moments(400, 2.0, 1.0), Moments(400, 2.2, 1.0)).estimate.round(4))
    0.1
    """
    with np.errstate(all="ignore"):
        lift, variance = relative_variance(
            control.mean, control.variance_of_mean, treatment.mean, treatment.variance_of_mean
        )
        df = np.inf if normal else welch_df(control, treatment)
        return t_effect(lift, np.sqrt(variance), df, alpha=alpha, sided=sided)


def relative_variance(
    control_mean: FloatArray, control_variance: FloatArray, treatment_mean: FloatArray, treatment_variance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Lift and its delta-method variance, from means and the variances of those means; nan where the control is 0."""
    with np.errstate(all="ignore"):
        base = np.where(control_mean == 0.0, np.nan, np.abs(control_mean))
        ratio = treatment_mean / base
        lift = (treatment_mean - control_mean) / base
        variance = treatment_variance / base**2 + control_variance * (ratio / base) ** 2
    return lift, variance
