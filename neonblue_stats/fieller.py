"""Fieller's interval of a relative lift: exact for normal means where the delta method is only approximate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from .effect import FloatArray, Sided, check_sided, t_quantile
from .errors import check_rate
from .means import welch_df
from .moments import Moments


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
        m_c, m_t = control.mean, treatment.mean
        ratio = m_t / m_c
        g = q * q * v_c / (m_c * m_c)
        defined = np.isfinite(df) & np.isfinite(ratio) & ((v_c > 0.0) | (v_t > 0.0))
        bounded = defined & (g < 1.0)
        half = q / np.abs(m_c) * np.sqrt(np.maximum((1.0 - g) * v_t + ratio * ratio * v_c, 0.0)) / (1.0 - g)
        middle = ratio / (1.0 - g)
        lower, upper = middle - half - 1.0, middle + half - 1.0
        negative = m_c < 0.0
        low, high = np.where(negative, -upper, lower), np.where(negative, -lower, upper)
        low = np.where(bounded, low, np.where(defined | (m_c == 0.0), -np.inf, np.nan))
        high = np.where(bounded, high, np.where(defined | (m_c == 0.0), np.inf, np.nan))
        if sided == "greater":
            high = np.where(np.isnan(high), np.nan, np.inf)
        elif sided == "less":
            low = np.where(np.isnan(low), np.nan, -np.inf)
    return FiellerInterval(low, high, bounded)
