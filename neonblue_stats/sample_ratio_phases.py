"""Sample ratio over the phases of an experiment: each phase's users against the weights that held then."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .effect import FloatArray
from .sample_ratio import MISMATCH_P_VALUE, SampleRatio, expected_counts
from .sample_ratio_exact import sample_ratio_anytime, sample_ratio_auto


def sample_ratio_phases(counts: ArrayLike, weights: ArrayLike) -> SampleRatio:
    """Pearson's chi-square test of each phase, added up.

        x² = Σ over phases x²_p      df = Σ (v_p - 1)      p = P(chi² with df > x²)

    A phase in which a variant expects too few users for chi-square has the x²_p of its exact p-value. A user belongs
    to one phase, so the phases are independent. With one phase this is `sample_ratio_auto`. Comparing all users with
    the present weights instead calls every change of weights a mismatch.

    Args:
        counts: users per phase and variant, shape (..., phases, v). Phases without users, and those with one variant,
            add nothing; nan or a weight of 0 leaves a variant out of its phase.
        weights: planned shares of each phase, the same shape or one that broadcasts to it.
    Returns: SampleRatio with fields of shape (...); nan where no phase can be tested.
    Source: additivity of independent chi-squares, Cramér (1946), Mathematical methods of statistics, 18.1; of those of
        p-values, Lancaster (1961), Australian Journal of Statistics 3, 20-33.
    """
    each, exact = sample_ratio_auto(counts, weights)
    _, _, used = expected_counts(counts, weights)
    df_of_each = np.where(np.isnan(each.p_value), 0, used.sum(axis=-1) - 1)
    of_each = np.where(exact, special.chdtri(np.maximum(df_of_each, 1), each.p_value), each.statistic)
    df = df_of_each.sum(axis=-1)
    statistic = np.where(df_of_each > 0, of_each, 0.0).sum(axis=-1)
    p = np.where(df > 0, special.chdtrc(np.maximum(df, 1), statistic), np.nan)
    return SampleRatio(p, np.where(df > 0, statistic, np.nan), p < MISMATCH_P_VALUE)


def sample_ratio_phases_anytime(
    counts: ArrayLike, weights: ArrayLike, *, concentration: float = 10_000.0
) -> SampleRatio:
    """As `sample_ratio_anytime`, over phases: the Bayes factors are multiplied, and their product is a martingale too.

    Args as for sample_ratio_phases. Returns: SampleRatio of shape (...); statistic is the log Bayes factor.
    Source: as for sample_ratio_anytime; the weights of a phase are fixed before its first user.
    """
    each = sample_ratio_anytime(counts, weights, concentration=concentration)
    defined = ~np.isnan(each.statistic)
    log_bf: FloatArray = np.where(defined, each.statistic, 0.0).sum(axis=-1)
    some = defined.any(axis=-1)
    p = np.where(some, np.exp(np.minimum(-log_bf, 0.0)), np.nan)
    return SampleRatio(p, np.where(some, log_bf, np.nan), p < MISMATCH_P_VALUE)
