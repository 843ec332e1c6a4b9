"""Sample ratio mismatch: do the variants hold the users that their weights promised?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .effect import FloatArray
from .errors import InvalidInput

# A mismatch is declared below this p-value: 0.001, as checks run on every experiment at every refresh.
MISMATCH_P_VALUE = 0.001


class SampleRatio(NamedTuple):
    """Result of a sample ratio check; each field has the shape of counts without its last axis.

    Attributes:
        p_value: probability of a split at least as uneven under the planned weights. nan for no users or one variant.
        statistic: chi-square distance (nan for exact tests).
        mismatch: p_value < MISMATCH_P_VALUE.
    """

    p_value: FloatArray
    statistic: FloatArray
    mismatch: np.ndarray


def sample_ratio(counts: ArrayLike, weights: ArrayLike) -> SampleRatio:
    """Pearson's chi-square test of the users per variant against the planned weights.

        e_v = w_v n / Σw      x² = Σ (c_v - e_v)²/e_v      p = P(chi² with v - 1 df > x²)

    Args:
        counts: users per variant, shape (..., v); nan or a weight of 0 leaves a variant out, so that experiments with
            different numbers of variants fit in one array.
        weights: planned shares, shape (..., v) or (v,); they need not sum to 1.
    Returns: SampleRatio with fields of shape (...).
    Agrees with: scipy.stats.chisquare, gbstats check_srm, tea-tasting SampleRatio (method 'norm' for two variants,
        without continuity correction).
    Source: Fabijan et al. (2019), Diagnosing sample ratio mismatch in online controlled experiments, KDD,
        doi:10.1145/3292500.3330722.
    >>> print(sample_ratio([44700, 45489], [1, 1]).p_value.round(4))
    0.0086
    """
    c, e, used = expected_counts(counts, weights)
    with np.errstate(all="ignore"):
        statistic = np.where(used, (c - e) ** 2 / np.where(used, e, 1.0), 0.0).sum(axis=-1)
        variants = used.sum(axis=-1)
        defined = (variants > 1) & (np.where(used, c, 0.0).sum(axis=-1) > 0.0)
        p = np.where(defined, special.chdtrc(np.maximum(variants - 1, 1), statistic), np.nan)
        statistic = np.where(defined, statistic, np.nan)
    return SampleRatio(p, statistic, p < MISMATCH_P_VALUE)


def expected_counts(counts: ArrayLike, weights: ArrayLike) -> tuple[FloatArray, FloatArray, np.ndarray]:
    """Counts, counts expected from the weights, and which variants take part; all of shape (..., v)."""
    c, w = np.broadcast_arrays(np.asarray(counts, dtype=np.float64), np.asarray(weights, dtype=np.float64))
    if np.any(c < 0.0):
        raise InvalidInput("counts", f"found {np.nanmin(c):g}; must be 0 or more")
    if np.any(w < 0.0):
        raise InvalidInput("weights", f"found {np.nanmin(w):g}; must be 0 or more")
    used = np.isfinite(c) & np.isfinite(w) & (w > 0.0)
    with np.errstate(all="ignore"):
        share = np.where(used, w, 0.0)
        total = np.where(used, c, 0.0).sum(axis=-1, keepdims=True)
        return c, share / share.sum(axis=-1, keepdims=True) * total, used
