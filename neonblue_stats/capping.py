"""Winsorising: values above a cap count as the cap, so that a few whales do not drown the effect."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .effect import FloatArray
from .errors import InvalidInput
from .moments import Moments


def percentile_cap(
    values: ArrayLike, percentile: float, *, weights: ArrayLike | None = None, ignore_zeros: bool = False
) -> float:
    """The cap at a percentile of all variants together (one cap for all, so that it cannot make an effect).

    The smallest value with at least percentile × total weight at or below it (inverse of the distribution function).

    Args:
        values: shape (m,), one a user, or the distinct values of a histogram with `weights` users each.
        percentile: above 0, at most 1 (0.99 caps the top 1 %).
        ignore_zeros: percentile of the users with a value other than 0, for metrics that most users do not have.
    Returns: nan for no values.
    Agrees with: numpy.quantile(method='inverted_cdf').
    """
    if not 0.0 < percentile <= 1.0:
        raise InvalidInput("percentile", f"found {percentile}; must be above 0 and at most 1")
    x = np.asarray(values, dtype=np.float64)
    w = np.ones(x.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    keep = ~np.isnan(x) & (w > 0.0)
    if ignore_zeros:
        keep &= x != 0.0
    x, w = x[keep], w[keep]
    if x.size == 0:
        return float("nan")
    order = np.argsort(x, kind="stable")
    reached = np.cumsum(w[order])
    # a hair below the target: 0.9 × 10 is 9.000000000000002 in some sums
    at = int(np.searchsorted(reached, percentile * reached[-1] * (1.0 - 1e-12), side="left"))
    return float(x[order][min(at, x.size - 1)])


def capped(values: ArrayLike, cap: float | None = None, floor: float | None = None) -> FloatArray:
    """Values with those above cap set to cap and those below floor to floor, any shape. nan stays nan."""
    if cap is not None and floor is not None and cap < floor:
        raise InvalidInput("cap", f"found {cap}, below the floor {floor}; must be at least the floor")
    return np.clip(
        np.asarray(values, dtype=np.float64), -np.inf if floor is None else floor, np.inf if cap is None else cap
    )


def capped_moments(
    values: ArrayLike, weights: ArrayLike, cap: float | None = None, floor: float | None = None
) -> Moments:
    """Moments of winsorised values from a histogram.

    Args:
        values: shape (m,), distinct values. weights: shape (m, k), users with each value in k variants.
    Returns: Moments of shape (k,).
    """
    x = capped(values, cap, floor)[:, None]
    w = np.asarray(weights, dtype=np.float64)
    with np.errstate(all="ignore"):
        n = w.sum(axis=0)
        mean = (w * x).sum(axis=0) / n
        return Moments.from_centred(n, mean, (w * (x - mean) ** 2).sum(axis=0))
