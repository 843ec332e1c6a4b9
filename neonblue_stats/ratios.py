"""Ratio of two sums (clicks per session, revenue per order) with users as the units, by the delta method."""

from __future__ import annotations

import numpy as np

from .effect import Effect, FloatArray, Sided
from .joint import JointMoments
from .means import welch
from .moments import Moments
from .relative import relative_lift


def ratio_moments(group: JointMoments, numerator: int = 0, denominator: int = 1) -> Moments:
    """A ratio of sums as if it were a mean of n users, so that every method for means serves ratios.

        R = ȳ / x̄      var = (s_yy - 2 R s_xy + R² s_xx) / x̄²

    `var` is the variance of the linearised variable (y - R x)/x̄ of one user, divisor n - 1; var / n is the variance
    of R. nan where the denominator's mean is 0.

    Agrees with: gbstats RatioStatistic, tea-tasting Aggregates.ratio_var.
    Source: Deng, Knoblich and Lu (2018), KDD, arXiv:1803.06336, section 3.1.
    """
    with np.errstate(all="ignore"):
        ratio = group.mean[numerator] / _base(group, denominator)
        var = group.linear(ratio_gradient(group, numerator, denominator))
    return Moments(group.n, ratio, var)


def ratio_gradient(group: JointMoments, numerator: int, denominator: int) -> list[FloatArray | int]:
    """Derivatives of the ratio by the mean of each variable: 1/x̄ for the numerator, -R/x̄ for the denominator."""
    gradient: list[FloatArray | int] = [0] * group.mean.shape[0]
    with np.errstate(all="ignore"):
        base = _base(group, denominator)
        gradient[numerator] = 1.0 / base
        gradient[denominator] = -group.mean[numerator] / base**2
    return gradient


def ratio_difference(
    control: JointMoments, treatment: JointMoments, alpha: float = 0.05, *, sided: Sided = "two"
) -> Effect:
    """Difference of two ratios, shape (k,), in units of the ratio. Variables: (numerator, denominator)."""
    return welch(ratio_moments(control), ratio_moments(treatment), alpha, sided=sided)


def ratio_lift(control: JointMoments, treatment: JointMoments, alpha: float = 0.05, *, sided: Sided = "two") -> Effect:
    """Relative lift of a ratio, shape (k,), a fraction of the control's ratio. Variables: (numerator, denominator)."""
    return relative_lift(ratio_moments(control), ratio_moments(treatment), alpha, sided=sided)


def _base(group: JointMoments, denominator: int) -> FloatArray:
    return np.where(group.mean[denominator] == 0.0, np.nan, group.mean[denominator])
