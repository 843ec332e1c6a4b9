"""Many comparisons at once: adjusted p-values, and the interval levels that agree with them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .effect import FloatArray
from .errors import InvalidInput, check_rate

Method = Literal["holm", "benjamini_hochberg", "benjamini_yekutieli", "bonferroni"]
METHODS: tuple[Method, ...] = ("holm", "benjamini_hochberg", "benjamini_yekutieli", "bonferroni")


def adjust(p_values: ArrayLike, method: Method, *, include: ArrayLike | None = None) -> FloatArray:
    """Adjusted p-values of families of hypotheses along the last axis.

        bonferroni: m p      holm: max_{j<=i} (m - j + 1) p_(j)
        benjamini_hochberg: min_{j>=i} m p_(j)/j      benjamini_yekutieli: the same times Σ_{i<=m} 1/i

    Reject where the adjusted p-value is below alpha: Bonferroni and Holm then bound the chance of any false alarm,
    the other two the expected share of false alarms (Yekutieli under any dependence).

    Args:
        p_values: shape (..., m), one family a row; over metrics × variants × dimensions, flattened. nan (undefined)
            stays nan and does not count.
        include: shape (..., m) of booleans; False (a guardrail) keeps its p-value and does not count.
    Returns: shape (..., m), at most 1.
    Agrees with: statsmodels multipletests, scipy.stats.false_discovery_control, R p.adjust.
    Source: Holm (1979), Scand. J. Stat. 6, 65-70; Benjamini and Hochberg (1995), JRSS B 57, 289-300; Benjamini and
        Yekutieli (2001), Annals of Statistics 29, 1165-1188.
    """
    p, counted, order, rank, m = _ranked(p_values, method, include)
    with np.errstate(all="ignore"):
        if method == "bonferroni":
            adjusted = p * m
        else:
            ordered = np.take_along_axis(np.where(counted, p, np.inf), order, axis=-1)
            ranks = np.arange(1, p.shape[-1] + 1)
            if method == "holm":
                scaled = np.maximum.accumulate(ordered * np.maximum(m - ranks + 1, 1), axis=-1)
            else:
                factor = m * _harmonic(m) if method == "benjamini_yekutieli" else m
                scaled = np.minimum.accumulate((ordered * factor / ranks)[..., ::-1], axis=-1)[..., ::-1]
            adjusted = np.take_along_axis(scaled, rank, axis=-1)
    return np.where(counted, np.minimum(adjusted, 1.0), p)


def interval_alpha(
    p_values: ArrayLike, method: Method, alpha: float = 0.05, *, include: ArrayLike | None = None
) -> FloatArray:
    """Level for each hypothesis's interval, so that it leaves out 0 exactly where the adjusted p-value is below alpha.

        bonferroni: alpha/m      holm: alpha/(m - i + 1) for the i-th rejected, alpha/(m - R) for the others
        benjamini_hochberg: alpha max(R, 1)/m      benjamini_yekutieli: that divided by Σ 1/i      (R: rejected)

    For the last two these are the false-coverage-rate intervals of Benjamini and Yekutieli (2005), JASA 100, 71-81:
    of the intervals of rejected hypotheses, at most alpha miss on average. Holm's decide like the test, while only
    Bonferroni's cover all true values together.

    Returns: shape (..., m); alpha itself where include is False; nan where the p-value is nan.
    """
    check_rate("alpha", alpha)
    p, counted, _, rank, m = _ranked(p_values, method, include)
    rejected = counted & (adjust(p, method, include=include) < alpha)
    r = rejected.sum(axis=-1, keepdims=True)
    with np.errstate(all="ignore"):
        if method == "bonferroni":
            level = np.broadcast_to(alpha / m, p.shape)
        elif method == "holm":
            level = np.where(rejected, alpha / np.maximum(m - rank, 1), alpha / np.maximum(m - r, 1))
        else:
            level = alpha * np.maximum(r, 1) / m
            level = np.broadcast_to(level / _harmonic(m) if method == "benjamini_yekutieli" else level, p.shape)
    return np.where(np.isnan(p), np.nan, np.where(counted, level, alpha))


def _ranked(
    p_values: ArrayLike, method: str, include: ArrayLike | None
) -> tuple[FloatArray, np.ndarray, np.ndarray, np.ndarray, FloatArray]:
    """p, which count, the order, each one's rank from 0, and the family's size of shape (..., 1)."""
    if method not in METHODS:
        raise InvalidInput("method", f"found {method!r}; must be one of {', '.join(METHODS)}")
    p = np.asarray(p_values, dtype=np.float64)
    if np.any((p < 0.0) | (p > 1.0)):
        raise InvalidInput("p_values", "every p-value must be between 0 and 1")
    counted = ~np.isnan(p)
    if include is not None:
        counted &= np.broadcast_to(np.asarray(include, dtype=bool), p.shape)
    order = np.argsort(np.where(counted, p, np.inf), axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1, kind="stable")
    return p, counted, order, rank, counted.sum(axis=-1, keepdims=True).astype(np.float64)


def _harmonic(m: FloatArray) -> FloatArray:
    """1 + 1/2 + ... + 1/m, elementwise."""
    top = int(m.max()) if m.size else 0
    table = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, top + 1))])
    return np.asarray(table[m.astype(np.intp)])
