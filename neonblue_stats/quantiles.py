"""Quantiles (median, p90, p99) of users or of events: their variance, difference and lift."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .effect import Effect, FloatArray, Sided, t_effect
from .errors import InvalidInput, check_rate
from .joint import JointMoments
from .ratios import ratio_moments
from .relative import relative_variance

_Z95 = float(special.ndtri(0.975))


class Quantile(NamedTuple):
    """A quantile per variant; fields of shape (k,).

    Attributes:
        n: values (events, or users for a quantile of users).
        value: the quantile, in the metric's unit.
        low, high: its 95 % interval, in the metric's unit: the values at the levels of `interval_levels`.
    """

    n: FloatArray
    value: FloatArray
    low: FloatArray
    high: FloatArray


def interval_levels(n: ArrayLike, quantile: float, variance_factor: ArrayLike = 1.0) -> tuple[FloatArray, FloatArray]:
    """Levels at which to read the 95 % interval of a quantile from the sorted values, shape (k,) each.

        q ± 1.96 sqrt(f q (1 - q)/n)

    The database returns quantiles(q, low level, high level) in one pass. nan where a level leaves 0..1: too few
    values for that quantile.

    Args:
        variance_factor: f, 1 for independent values; `cluster_factor` where values repeat per user.
    Source: Deng, Knoblich and Lu (2018), KDD, arXiv:1803.06336, section 4.
    """
    check_rate("quantile", quantile)
    with np.errstate(all="ignore"):
        half = _Z95 * np.sqrt(np.asarray(variance_factor) * quantile * (1.0 - quantile) / np.asarray(n, dtype=float))
        low, high = quantile - half, quantile + half
        inside = (low > 0.0) & (high < 1.0)
        return np.where(inside, low, np.nan), np.where(inside, high, np.nan)


def cluster_factor(below_and_events: JointMoments, quantile: float) -> FloatArray:
    """How much larger the variance is because events repeat per user, shape (k,); 1 for one event a user.

        f = var(share of events below the quantile, users as units) / [q (1 - q)/events]

    Args:
        below_and_events: over users, variables (events at or below the variant's quantile, events).
    Agrees with: gbstats QuantileClusteredStatistic (the factor of its variance).
    Source: Deng, Knoblich and Lu (2018), KDD, arXiv:1803.06336, section 4.
    """
    check_rate("quantile", quantile)
    share = ratio_moments(below_and_events)
    with np.errstate(all="ignore"):
        events = below_and_events.n * below_and_events.mean[1]
        return np.asarray(share.variance_of_mean * events / (quantile * (1.0 - quantile)))


def quantile_standard_errors(
    control: Quantile,
    treatment: Quantile,
    control_factor: ArrayLike = 1.0,
    treatment_factor: ArrayLike = 1.0,
    *,
    facing: bool = False,
) -> tuple[FloatArray, FloatArray]:
    """Standard errors of two quantiles that are compared, from their 95 % intervals, shape (k,) each.

        se = (high - low)/(2 * 1.96) sqrt(f)

    With `facing`, of those halves of the intervals that face each other:

        treatment higher, or equal: se_c = (high_c - value_c)/1.96 sqrt(f_c)    se_t = (value_t - low_t)/1.96 sqrt(f_t)
        treatment lower:            se_c = (value_c - low_c)/1.96 sqrt(f_c)     se_t = (high_t - value_t)/1.96 sqrt(f_t)

    and of the other halves where both of these have no width. Among equal values, and beside a gap, a quantile jumps
    from one end of its interval to the other, and a quarter of the whole width is no standard error. The half that it
    jumped over is as wide as the jump, so that a difference is beyond 1.96 standard errors only where each quantile
    lies outside the other's interval, whatever the law of the values.

    Args:
        control_factor, treatment_factor: `cluster_factor` where low and high were read at levels for independent
            values.
    Agrees with: gbstats QuantileStatistic, whose variance is (n - 1)/n of this one; it knows no `facing`.
    Source: Zou and Donner (2008), Construction of confidence limits about effect measures, Statistics in Medicine 27,
        1693-1702.
    """
    above_c, below_c = _halves(control, control_factor)
    above_t, below_t = _halves(treatment, treatment_factor)
    if not facing:
        return (above_c + below_c) / 2.0, (above_t + below_t) / 2.0
    higher = np.asarray(treatment.value) >= np.asarray(control.value)
    rises = np.where(higher, above_c + below_t > 0.0, below_c + above_t == 0.0)
    return np.where(rises, above_c, below_c), np.where(rises, below_t, above_t)


def _halves(group: Quantile, factor: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The interval's upper and lower half, each as a standard error."""
    if np.any(group.high < group.low):
        raise InvalidInput("low", "an interval's low end is above its high end")
    value = np.asarray(group.value, dtype=np.float64)
    above, below = group.high - value, value - group.low
    scale = np.sqrt(np.asarray(factor)) / _Z95
    return np.asarray(above * scale), np.asarray(below * scale)


def quantile_effect(
    control: Quantile,
    treatment: Quantile,
    alpha: float = 0.05,
    *,
    relative: bool = False,
    sided: Sided = "two",
    control_factor: ArrayLike = 1.0,
    treatment_factor: ArrayLike = 1.0,
    facing: bool = False,
) -> Effect:
    """Difference (or lift) of a quantile by the normal law, one test per row.

    Returns: Effect of shape (k,), in the metric's unit or as a fraction of the control's quantile. low, high, p_value
        are nan where both intervals have no width (all values equal near the quantile).

    Args:
        facing: for values that may be equal, or have gaps: standard errors as `quantile_standard_errors` says, and the
            variance of a lift is at least that of the difference divided by the control's quantile, as the delta
            method alone takes a fall for surer than the difference it is of.
    """
    se_c, se_t = quantile_standard_errors(control, treatment, control_factor, treatment_factor, facing=facing)
    control_value = np.asarray(control.value, dtype=np.float64)
    treatment_value = np.asarray(treatment.value, dtype=np.float64)
    with np.errstate(all="ignore"):
        estimate, variance = treatment_value - control_value, se_c**2 + se_t**2
        if relative:
            of_difference = variance / control_value**2
            estimate, variance = relative_variance(control_value, se_c**2, treatment_value, se_t**2)
            if facing:
                variance = np.maximum(variance, of_difference)
        return t_effect(estimate, np.sqrt(variance), alpha=alpha, sided=sided)
