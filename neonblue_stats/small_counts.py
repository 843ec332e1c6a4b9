"""Proportions with counts too small for the normal law, many comparisons at once: exact p-values, score intervals."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .effect import FloatArray
from .errors import check_rate
from .exact import exact_p_value, restricted_difference, restricted_ratio

# The nearest end of an interval that leaves out 0 because the exact test rejects it, as a share of the estimate.
_BESIDE_ZERO = 1e-9
_HALVINGS = 60


class SmallCounts(NamedTuple):
    """Fields of shape (k,), all nan where a variant has no users, or a lift's control no success. test: of p_value."""

    estimate: FloatArray
    low: FloatArray
    high: FloatArray
    p_value: FloatArray
    test: list[str]


def small_counts(
    control_n: ArrayLike,
    control_successes: ArrayLike,
    treatment_n: ArrayLike,
    treatment_successes: ArrayLike,
    *,
    alpha: float = 0.05,
    relative: bool = False,
) -> SmallCounts:
    """Two-sided exact test of each comparison, with an interval that agrees with it.

    The p-value is that of `exact_proportions`: Barnard's test up to BARNARD_TABLES tables, Fisher's beyond. The
    interval is `score_interval`: inverting the exact test costs up to seconds a comparison, and Fisher's has no
    interval of a difference. Where the two disagree about 0 the test decides: an interval without 0
    where 0 is not rejected is extended to it, one that holds a rejected 0 ends beside it.

    Args: whole numbers, arrays of shape (k,). relative: of p_t/p_c - 1 in place of p_t - p_c.
    """
    check_rate("alpha", alpha)
    n_c, x_c, n_t, x_t = (
        np.atleast_1d(np.asarray(a, dtype=np.float64))
        for a in (control_n, control_successes, treatment_n, treatment_successes)
    )
    tested = [_p_value(*map(int, counts)) for counts in zip(n_c, x_c, n_t, x_t, strict=True)]
    p_value = np.array([p for p, _ in tested], dtype=np.float64)
    with np.errstate(all="ignore"):
        p_c, p_t = x_c / n_c, x_t / n_t
        estimate = np.where(p_c > 0.0, p_t / p_c - 1.0, np.nan) if relative else p_t - p_c
    low, high = score_interval(n_c, x_c, n_t, x_t, alpha=alpha, relative=relative)
    rejected = p_value < alpha
    beside = np.abs(estimate) * _BESIDE_ZERO
    low = np.where(rejected & (estimate > 0.0), np.maximum(low, beside), np.where(rejected, low, np.minimum(low, 0.0)))
    high = np.where(
        rejected & (estimate < 0.0), np.minimum(high, -beside), np.where(rejected, high, np.maximum(high, 0.0))
    )
    untested, no_lift = np.isnan(p_value), np.isnan(estimate)
    low, high = (np.where(untested, np.nan, end) for end in (low, high))
    return SmallCounts(estimate, low, high, np.where(no_lift, np.nan, p_value), [test for _, test in tested])


def score_interval(
    control_n: ArrayLike,
    control_successes: ArrayLike,
    treatment_n: ArrayLike,
    treatment_successes: ArrayLike,
    *,
    alpha: float = 0.05,
    relative: bool = False,
) -> tuple[FloatArray, FloatArray]:
    """Effects that the score test does not reject, shape (k,) each: an interval that holds for small counts, too.

        |p_t - p_c - d| <= q √(p̃_t (1 - p̃_t)/n_t + p̃_c (1 - p̃_c)/n_c),  p̃: most likely with p̃_t - p̃_c = d
        |p_t - r p_c| <= q √(p̃_t (1 - p̃_t)/n_t + r² p̃_c (1 - p̃_c)/n_c),  p̃: most likely with p̃_t = r p̃_c, lift r - 1

    Returns: low, high by bisection to the last digits; of a lift nan where the control has no success.
    Agrees with: statsmodels confint_proportions_2indep (method='score', correction=False).
    Source: Miettinen and Nurminen (1985), Stat. Med. 4, 213-226, without their factor n/(n - 1); Mee (1984).
    """
    check_rate("alpha", alpha)
    n_c, x_c, n_t, x_t = np.broadcast_arrays(
        *(np.asarray(a, dtype=np.float64) for a in (control_n, control_successes, treatment_n, treatment_successes))
    )
    quantile = -float(special.ndtri(alpha / 2.0))
    with np.errstate(all="ignore"):
        c, t = x_c / n_c, x_t / n_t

        def z(at: FloatArray) -> FloatArray:
            """The score statistic, which falls as the effect that is assumed rises; ratios r are at/(1 - at)."""
            if relative:
                r = at / (1.0 - at)
                gap, p_c = t - r * c, restricted_ratio(n_c, c, n_t, t, r)
                p_t, weight = p_c * r, r * r
            else:
                gap, p_c = t - c - at, restricted_difference(n_c, c, n_t, t, at)
                p_t, weight = p_c + at, np.ones(())
            variance = p_t * (1.0 - p_t) / n_t + weight * p_c * (1.0 - p_c) / n_c
            return np.where(np.abs(gap) < 1e-13, 0.0, gap / np.sqrt(np.maximum(variance, 0.0)))

        middle = t / (t + c) if relative else t - c
        bottom, top = (0.0, 1.0) if relative else (-1.0, 1.0)
        low = _edge(lambda at: z(at) > quantile, np.full(c.shape, bottom), middle)
        high = _edge(lambda at: z(at) < -quantile, np.full(c.shape, top), middle)
        if not relative:
            return low, high
        lifts = (np.where(at >= 1.0, np.inf, at / (1.0 - at) - 1.0) for at in (low, high))
        low, high = (np.where(x_c > 0.0, lift, np.nan) for lift in lifts)
        return low, high


def _edge(rejects, outside: FloatArray, inside: FloatArray) -> FloatArray:  # type: ignore[no-untyped-def]
    """Where a test turns from rejecting (outside) to not rejecting (inside); the bound where it rejects nowhere."""
    for _ in range(_HALVINGS):
        at = 0.5 * (outside + inside)
        rejected = rejects(at)
        outside, inside = np.where(rejected, at, outside), np.where(rejected, inside, at)
    return outside


@lru_cache(maxsize=1 << 16)
def _p_value(n_c: int, x_c: int, n_t: int, x_t: int) -> tuple[float, str]:
    # A variant without users has nothing to test, and must not keep the other experiments of a call from theirs.
    if n_c < 1 or n_t < 1:
        return float("nan"), ""
    return exact_p_value(n_c, x_c, n_t, x_t)
