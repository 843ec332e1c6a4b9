"""Can the result be trusted? Crossed users, imbalance before the start, and whether A/A tests behave."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from .effect import FloatArray
from .errors import check_rate
from .means import welch
from .moments import Moments

# Users seen in several variants are left out of the result; above this share the result is warned of.
MAX_CROSSED_SHARE = 0.01
# Pre-period imbalance and A/A checks warn below this p-value, as the sample ratio check does.
IMBALANCE_P_VALUE = 0.001


class Crossed(NamedTuple):
    """Users seen in several variants: their share of all users, shape (k,), and whether that is too many."""

    share: FloatArray
    too_many: np.ndarray


def crossed_users(crossed: ArrayLike, users: ArrayLike) -> Crossed:
    """Share of users seen in more than one variant; shape (k,). nan for no users.

    Args:
        crossed: users seen in several variants (they are excluded from the result).
        users: all users seen, those included.
    """
    with np.errstate(all="ignore"):
        n = np.asarray(users, dtype=np.float64)
        share = np.asarray(crossed, dtype=np.float64) / np.where(n > 0.0, n, np.nan)
    return Crossed(share, share > MAX_CROSSED_SHARE)


class Imbalance(NamedTuple):
    """Difference of the variants before the experiment.

    p_value of Welch's test, shape (k,); standardised difference (in standard deviations); imbalanced: p below
    IMBALANCE_P_VALUE. Users were alike before they were treated, so a small p-value says that the split was not fair.
    """

    p_value: FloatArray
    standardised: FloatArray
    imbalanced: np.ndarray


def pre_period_imbalance(control: Moments, treatment: Moments) -> Imbalance:
    """Compare the covariate (a metric of the time before exposure) between variants; shape (k,).

    Source: standardised difference, Austin (2009), Statistics in Medicine 28, 3083-3107.
    """
    effect = welch(control, treatment)
    with np.errstate(all="ignore"):
        deviation = np.sqrt((control.var + treatment.var) / 2.0)
        standardised = effect.estimate / np.where(deviation > 0.0, deviation, np.nan)
    return Imbalance(effect.p_value, standardised, effect.p_value < IMBALANCE_P_VALUE)


def same_share(counts: ArrayLike, totals: ArrayLike) -> FloatArray:
    """P-value of "this happens to the same share of users in every variant", shape (...) of counts (..., v).

        x² = Σ (c_v - n_v p)²/(n_v p (1 - p)),  p = Σ c/Σ n      p-value = P(chi² with v - 1 df > x²)

    Args:
        counts: users it happened to, per variant. totals: all users, per variant; 0 leaves a variant out.
    Returns: nan with fewer than two variants, or where it happened to nobody or to all.
    Agrees with: scipy.stats.chi2_contingency without correction.
    Source: Pearson's test of homogeneity; Agresti (2013), Categorical data analysis, 3.2.
    """
    c, n = np.broadcast_arrays(np.asarray(counts, dtype=np.float64), np.asarray(totals, dtype=np.float64))
    with np.errstate(all="ignore"):
        used = n > 0.0
        total = np.where(used, n, 0.0).sum(axis=-1, keepdims=True)
        p = np.where(used, c, 0.0).sum(axis=-1, keepdims=True) / total
        variance = np.where(used, n, 1.0) * p * (1.0 - p)
        statistic = np.where(used, (c - n * p) ** 2 / variance, 0.0).sum(axis=-1)
        df = used.sum(axis=-1) - 1
        return np.where(df > 0, special.chdtrc(np.maximum(df, 1), statistic), np.nan)


class Calibration(NamedTuple):
    """Do A/A comparisons raise false alarms as often as they should?

    Attributes:
        tests: defined p-values looked at.
        false_alarm_rate: share below alpha. expected: alpha.
        p_value: binomial, two-sided, of that count of alarms.
        uniformity_p_value: Kolmogorov-Smirnov, of the p-values being uniform.
        calibrated: neither below IMBALANCE_P_VALUE; nan p-values (no tests) count as calibrated = False.
    """

    tests: int
    false_alarm_rate: float
    expected: float
    p_value: float
    uniformity_p_value: float
    calibrated: bool


def aa_calibration(p_values: ArrayLike, alpha: float = 0.05) -> Calibration:
    """Judge the p-values of A/A comparisons (the same treatment twice, or users split by another seed).

    Args:
        p_values: shape (m,) of independent comparisons; nan is left out.
    Agrees with: scipy.stats.binomtest and kstest.
    """
    check_rate("alpha", alpha)
    p = np.asarray(p_values, dtype=np.float64)
    p = p[~np.isnan(p)]
    if p.size == 0:
        return Calibration(0, float("nan"), alpha, float("nan"), float("nan"), False)
    alarms = int((p < alpha).sum())
    binomial_p = float(scipy.stats.binomtest(alarms, p.size, alpha).pvalue)
    uniform_p = float(scipy.stats.kstest(p, "uniform").pvalue)
    good = binomial_p >= IMBALANCE_P_VALUE and uniform_p >= IMBALANCE_P_VALUE
    return Calibration(int(p.size), alarms / p.size, alpha, binomial_p, uniform_p, good)


def non_inferiority(
    estimate: ArrayLike, standard_error: ArrayLike, margin: ArrayLike, df: ArrayLike = np.inf
) -> FloatArray:
    """P-value of "not worse than by the margin" for metrics where higher is better, shape (k,).

        t = (d + margin)/se      p = P(T > t)

    Args:
        margin: the loss that is tolerated, 0 or more, in the estimate's unit. For a metric where lower is better give
            the negative estimate. nan where the standard error is 0.
    Source: ICH E9 (1998), section 3.3.2.
    """
    with np.errstate(all="ignore"):
        se = np.asarray(standard_error, dtype=np.float64)
        t = (np.asarray(estimate, dtype=np.float64) + np.asarray(margin, dtype=np.float64)) / np.where(
            se > 0, se, np.nan
        )
        dof = np.asarray(df, dtype=np.float64)
        finite = np.isfinite(dof)
        return np.where(finite, special.stdtr(np.where(finite, dof, 1.0), -t), special.ndtr(-t))
