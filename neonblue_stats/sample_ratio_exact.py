"""Sample ratio checks beyond chi-square: exact for small samples, valid at every look, and by dimension."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from .effect import FloatArray
from .errors import InvalidInput
from .multiplicity import adjust
from .sample_ratio import MISMATCH_P_VALUE, SampleRatio, expected_counts, sample_ratio

# Chi-square is trusted from this expected count in every variant on (Cochran's rule).
SMALL_EXPECTED = 5.0
# Exact multinomial tests enumerate at most this many splits: some milliseconds.
MAX_SPLITS = 10_000


def sample_ratio_exact(counts: ArrayLike, weights: ArrayLike) -> SampleRatio:
    """Exact multinomial (two variants: binomial) test of one split.

        p = Σ P(split) over all splits that are at most as probable as the one observed

    With more than MAX_SPLITS possible splits, each variant against all others together by the binomial test, and the
    smallest p-value times the variants (Bonferroni): never too small, at most that many times too large.

    Args:
        counts, weights: shape (v,), whole counts; weights above 0.
    Returns: SampleRatio of shape (); statistic is nan. p_value is nan for no users or one variant.
    Agrees with: scipy.stats.binomtest (two variants).
    Source: Read and Cressie (1988), Goodness-of-fit statistics for discrete multivariate data, section 5.
    """
    c, e, used = expected_counts(counts, weights)
    if c.ndim != 1 or not np.all(used):
        raise InvalidInput("counts", "an exact test takes one split, with a weight above 0 for every variant")
    p = _exact_p_value(tuple(c), tuple(e)) if len(c) > 1 and c.sum() > 0.0 else np.nan
    return SampleRatio(np.asarray(p), np.asarray(np.nan), np.asarray(p < MISMATCH_P_VALUE))


# Results ask for a phase alone and with all others.
@lru_cache(maxsize=10_000)
def _exact_p_value(counts: tuple[float, ...], expected: tuple[float, ...]) -> float:
    c, share = np.rint(counts), np.array(expected) / sum(expected)
    n, v = int(c.sum()), len(c)
    if math.comb(n + v - 1, v - 1) <= MAX_SPLITS:
        log_p = _log_split_probabilities(n, share)
        observed = float(special.gammaln(n + 1) - special.gammaln(c + 1).sum() + (c * np.log(share)).sum())
        return min(float(np.exp(log_p[log_p <= observed + 1e-9]).sum()), 1.0)
    if v == 2:
        return float(scipy.stats.binomtest(int(c[0]), n, float(share[0])).pvalue)
    alone = (_exact_p_value((c[i], n - c[i]), (share[i], 1.0 - share[i])) for i in range(v))
    return min(v * min(alone), 1.0)


def _log_split_probabilities(n: int, share: FloatArray) -> FloatArray:
    """Log probability of every split of n users, built variant by variant."""
    left = np.array([n])
    log_p = np.array([float(special.gammaln(n + 1))])
    for w in share[:-1]:
        repeats = left + 1
        start = np.repeat(np.cumsum(repeats) - repeats, repeats)
        taken = np.arange(repeats.sum()) - start
        log_p = np.repeat(log_p, repeats) + taken * np.log(w) - special.gammaln(taken + 1)
        left = np.repeat(left, repeats) - taken
    return log_p + left * np.log(share[-1]) - special.gammaln(left + 1)


def sample_ratio_auto(counts: ArrayLike, weights: ArrayLike) -> tuple[SampleRatio, np.ndarray]:
    """Splits by the stated rule: exact where a variant expects fewer than SMALL_EXPECTED users, else chi-square.

    Args:
        counts, weights: as in sample_ratio, shape (..., v).
    Returns: SampleRatio, and where the test is the exact one; shape (...).
    """
    c, e, used = expected_counts(counts, weights)
    result = sample_ratio(counts, weights)
    exact = ~np.isnan(result.p_value) & (np.where(used, e, np.inf).min(axis=-1) < SMALL_EXPECTED)
    p = np.array(result.p_value)
    for at in map(tuple, np.argwhere(exact)):
        p[at] = _exact_p_value(tuple(c[at][used[at]]), tuple(e[at][used[at]]))
    return SampleRatio(p, np.where(exact, np.nan, result.statistic), p < MISMATCH_P_VALUE), exact


def sample_ratio_anytime(counts: ArrayLike, weights: ArrayLike, *, concentration: float = 10_000.0) -> SampleRatio:
    """Sample ratio check that may be looked at after every user.

    Bayes factor of a Dirichlet mixture around the planned split against the split itself; its inverse is a p-value
    valid at all times together (Ville's inequality).

        BF = [Γ(A)/Γ(A + n)] Π Γ(a_v + c_v)/Γ(a_v) / Π w_v^c_v      a = concentration × w, A = Σ a      p = min(1, 1/BF)

    Args:
        counts, weights: as in sample_ratio, shape (..., v).
        concentration: how near the planned split a mismatch is expected to lie; 10,000 is made for drifts of 1 %.
    Returns: SampleRatio of shape (...); statistic is the log Bayes factor. p_value is of this look: over looks in
        order, np.minimum.accumulate keeps the guarantee.
    Source: Lindon and Malek (2022), Anytime-valid inference for multinomial count data, NeurIPS, arXiv:2011.03567.
    """
    if not concentration > 0.0:
        raise InvalidInput("concentration", f"found {concentration}; must be above 0")
    c, _, used = expected_counts(counts, weights)
    with np.errstate(all="ignore"):
        total = np.where(used, c, 0.0).sum(axis=-1)
        w = np.where(used, np.broadcast_to(np.asarray(weights, dtype=np.float64), c.shape), 0.0)
        share = w / w.sum(axis=-1, keepdims=True)
        a = np.where(used, concentration * share, 1.0)
        terms = special.gammaln(a + np.where(used, c, 0.0)) - special.gammaln(a) - special.xlogy(c, share)
        log_bf = special.gammaln(concentration) - special.gammaln(concentration + total)
        log_bf = log_bf + np.where(used, terms, 0.0).sum(axis=-1)
        defined = (used.sum(axis=-1) > 1) & (total > 0.0)
        p = np.where(defined, np.exp(np.minimum(-log_bf, 0.0)), np.nan)
    return SampleRatio(p, np.where(defined, log_bf, np.nan), p < MISMATCH_P_VALUE)


def sample_ratio_by_dimension(counts: ArrayLike, weights: ArrayLike) -> SampleRatio:
    """One check for each value of a dimension (device, country), corrected by Holm over the values.

    Args:
        counts: shape (values, v), users of each value per variant; weights: shape (v,), the plan, the same for all.
    Returns: SampleRatio of shape (values,) with adjusted p-values.
    """
    each, _ = sample_ratio_auto(counts, weights)
    p = adjust(each.p_value, "holm")
    return SampleRatio(p, each.statistic, p < MISMATCH_P_VALUE)
