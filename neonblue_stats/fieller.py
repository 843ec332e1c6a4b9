"""Fieller's interval of a relative lift: exact for normal means where the delta method is only approximate.

It says of "no difference" what the difference itself says. The delta method does not: a treatment with few conversions
gets a small standard error of its lift, and one with none gets none at all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from .effect import FloatArray, Sided, check_sided, t_quantile
from .errors import check_rate
from .means import welch_df
from .moments import Moments


class Contrast(NamedTuple):
    """A difference, and the control's mean that makes a lift of it; fields of shape (k,).

    Attributes:
        difference, variance: treatment minus control (adjusted or not), and the variance of that.
        base, base_variance: the control's mean, not adjusted, and the variance of that mean.
        covariance: of the two; -base_variance where nothing is adjusted.
    """

    difference: FloatArray
    variance: FloatArray
    base: FloatArray
    base_variance: FloatArray
    covariance: FloatArray


class FiellerInterval(NamedTuple):
    """Interval of a lift, shape (k,). `bounded` is False where the control's mean cannot be told from 0.

    There every lift, or every lift outside a gap, fits the data: low and high are then -inf and inf.
    """

    low: FloatArray
    high: FloatArray
    bounded: np.ndarray


def fieller(
    control: Moments, treatment: Moments, alpha: float = 0.05, *, sided: Sided = "two", normal: bool = False
) -> FiellerInterval:
    """All lifts ρ for which the difference m_t - (1 + ρ) m_c is not significant.

        (m_t - r m_c)² <= q² (v_t + r² v_c)      r = 1 + ρ,  q the t quantile,  v_i = s_i²/n_i
        g = q² v_c/m_c²      r = [ρ̂ ± (q/|m_c|) sqrt((1 - g) v_t + ρ̂² v_c)] / (1 - g)      ρ̂ = m_t/m_c

    The interval leaves out lift 0 exactly where the difference of the means is significant (it agrees with the
    p-value of welch, not with that of relative_lift). q uses Welch's degrees of freedom at r = 1. Lifts are
    fractions of |m_c|, so for a negative control the two ends change places and sign.

    Returns: FiellerInterval, fields of shape (k,); nan where nothing varies or a side has fewer than two users.
    Source: Fieller (1954), JRSS B 16, 175-185; Franz (2007), arXiv:0710.2024.
    """
    check_rate("alpha", alpha)
    check_sided(sided)
    with np.errstate(all="ignore"):
        v_c, v_t = control.variance_of_mean, treatment.variance_of_mean
        df = welch_df(control, treatment)
        tail = alpha / 2.0 if sided == "two" else alpha
        q = -(special.ndtri(tail) if normal else t_quantile(df, tail))
        contrast = Contrast(treatment.mean - control.mean, v_t + v_c, control.mean, v_c, -v_c)
        low, high, bounded = lift_bounds(contrast, np.where(np.isfinite(df), q, np.nan))
        if sided == "greater":
            high = np.where(np.isnan(high), np.nan, np.inf)
        elif sided == "less":
            low = np.where(np.isnan(low), np.nan, -np.inf)
    return FiellerInterval(low, high, bounded)


def lift_bounds(contrast: Contrast, quantile: FloatArray) -> FiellerInterval:
    """All lifts ρ for which the difference minus ρ times the base is at most `quantile` of its standard errors from 0.

        (d - ρ m)² <= q² (v_d - 2 ρ v_dm + ρ² v_m)      g = q² v_m/m²,  λ = d/m
        ρ = [λ - q² v_dm/m² ± (q/|m|) sqrt(v_d - 2 λ v_dm + λ² v_m + q² (v_dm² - v_d v_m)/m²)] / (1 - g)

    Args: quantile: q > 0, shape (k,): of the law of the difference, or the boundary of a sequence.
    Returns: FiellerInterval of shape (k,), fractions of |m|; nan where nothing varies.
    Source: as `fieller`, with the covariance of Fieller (1954), section 2.
    """
    d, v_d, m, v_m, v_dm = contrast
    with np.errstate(all="ignore"):
        lift, square = d / m, m * m
        g = quantile**2 * v_m / square
        defined = np.isfinite(lift) & np.isfinite(quantile) & (v_d > 0.0)
        bounded = defined & (g < 1.0)
        inner = v_d - 2.0 * lift * v_dm + lift**2 * v_m + quantile**2 * (v_dm**2 - v_d * v_m) / square
        half = quantile / np.abs(m) * np.sqrt(np.maximum(inner, 0.0)) / (1.0 - g)
        middle = (lift - quantile**2 * v_dm / square) / (1.0 - g)
        lower, upper = middle - half, middle + half
        negative = m < 0.0
        low, high = np.where(negative, -upper, lower), np.where(negative, -lower, upper)
        everywhere = defined | (m == 0.0)
        low = np.where(bounded, low, np.where(everywhere, -np.inf, np.nan))
        high = np.where(bounded, high, np.where(everywhere, np.inf, np.nan))
    return FiellerInterval(low, high, bounded)
