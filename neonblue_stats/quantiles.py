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


def quantile_standard_error(group: Quantile, variance_factor: ArrayLike = 1.0) -> FloatArray:
    """Standard error of a quantile from the width of its 95 % interval, shape (k,).

        se = (high - low)/(2 * 1.96) * sqrt(f)

    Args:
        variance_factor: `cluster_factor` where low and high were read at levels for independent values.
    Agrees with: gbstats QuantileStatistic, whose variance is (n - 1)/n of this one.
    """
    if np.any(group.high < group.low):
        raise InvalidInput("low", "an interval's low end is above its high end")
    with np.errstate(all="ignore"):
        return np.asarray((group.high - group.low) / (2.0 * _Z95) * np.sqrt(np.asarray(variance_factor)))


def quantile_effect(
    control: Quantile,
    treatment: Quantile,
    alpha: float = 0.05,
    *,
    relative: bool = False,
    sided: Sided = "two",
    control_factor: ArrayLike = 1.0,
    treatment_factor: ArrayLike = 1.0,
) -> Effect:
    """Difference (or lift) of a quantile by the normal law, one test per row.

    Returns: Effect of shape (k,), in the metric's unit or as a fraction of the control's quantile. low, high, p_value
        are nan where both intervals have no width (all values equal near the quantile).
    """
    se_c = quantile_standard_error(control, control_factor)
    se_t = quantile_standard_error(treatment, treatment_factor)
    with np.errstate(all="ignore"):
        if relative:
            estimate, variance = relative_variance(
                np.asarray(control.value, dtype=np.float64), se_c**2,
                np.asarray(treatment.value, dtype=np.float64), se_t**2,
            )  # fmt: skip
        else:
            estimate = np.asarray(treatment.value, dtype=np.float64) - control.value
            variance = se_c**2 + se_t**2
        return t_effect(estimate, np.sqrt(variance), alpha=alpha, sided=sided)
