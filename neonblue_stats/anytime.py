"""Results that may be looked at after every event: confidence sequences and the mixture sequential test."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .effect import Effect, FloatArray, Sided, check_sided
from .errors import InvalidInput, check_rate
from .fieller import Contrast, lift_bounds

DEFAULT_TUNING_N = 5000.0


def confidence_sequence(
    estimate: ArrayLike,
    standard_error: ArrayLike,
    n: ArrayLike,
    alpha: float = 0.05,
    *,
    tuning_n: float = DEFAULT_TUNING_N,
    tuning_alpha: float | None = None,
    sided: Sided = "two",
) -> Effect:
    """Asymptotic confidence sequence of any estimate that is a mean in the limit; valid at all looks together.

        s² = n se²      two:  half² = s² 2(nρ² + 1)/(nρ)² log(sqrt(nρ² + 1)/α)
                        one:  half² = s² 2(nρ² + 1)/(nρ)² log(1 + sqrt(nρ² + 1)/(2α))
        ρ² = [-2 log a + log(1 - 2 log a)]/tuning_n,  a = α (two), 2α (one): narrowest when n = tuning_n

    The p-value is the smallest level at which the sequence with this ρ leaves out 0, so both always agree; it too may
    be looked at at any time.

    Args:
        estimate, standard_error: shape (k,); a difference, a lift, an adjusted one.
        n: users of both variants together, shape (k,).
        tuning_n: users at which the result matters most. Fix it before the data.
        tuning_alpha: the a of ρ, where it is not alpha: intervals of several levels agree with one p-value only if
            they share their ρ.
        sided: 'two', 'greater' or 'less'; one-sided needs alpha < 0.5.
    Returns: Effect, df = inf. nan where the standard error is 0 or nan.
    Agrees with: gbstats SequentialTwoSidedTTest, and its one-sided tests.
    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), Annals of Statistics, arXiv:2103.06476v7,
        eq. 9 (two), 134 (one), 155 (p-value), 161 (ρ).
    """
    check_rate("alpha", alpha)
    check_sided(sided)
    if not tuning_n > 0.0:
        raise InvalidInput("tuning_n", f"found {tuning_n}; must be above 0")
    if sided != "two" and alpha >= 0.5:
        raise InvalidInput("alpha", f"found {alpha}; a one-sided confidence sequence needs alpha below 0.5")
    a = alpha if tuning_alpha is None else check_rate("tuning_alpha", tuning_alpha)
    level = a if sided == "two" else 2.0 * a
    rho2 = (-2.0 * np.log(level) + np.log1p(-2.0 * np.log(level))) / tuning_n
    return _mixture(estimate, standard_error, np.asarray(n, dtype=np.float64) * rho2, alpha, sided)


def sequence_boundary(
    n: ArrayLike,
    alpha: float,
    *,
    tuning_n: float = DEFAULT_TUNING_N,
    tuning_alpha: float | None = None,
    sided: Sided = "two",
) -> FloatArray:
    """Standard errors from 0 that the confidence sequence passes with n users, shape (k,)."""
    ones = np.ones(np.shape(n))
    at_zero = confidence_sequence(0.0 * ones, ones, n, alpha, tuning_n=tuning_n, tuning_alpha=tuning_alpha, sided=sided)
    return at_zero.high if sided != "greater" else -at_zero.low


def lift_sequence(
    contrast: Contrast,
    n: ArrayLike,
    alpha: float = 0.05,
    *,
    tuning_n: float = DEFAULT_TUNING_N,
    tuning_alpha: float | None = None,
) -> Effect:
    """Confidence sequence of a lift: all lifts ρ for which that of the difference minus ρ times the base holds 0.

    Valid at all looks together, as each of those is. With the delta method's standard error it is not: under no effect
    and 1 % of conversions 13 % of the sequences leave out 0 at one of 100 looks up to 10,000 users a variant.

    Returns: Effect, df = inf, fractions of |base|. The standard error is the delta method's, to compare with others.
        The p-value is that of the difference: the interval leaves out 0 exactly where it is below alpha, but for
        intervals without ends (-inf, inf), where the base cannot be told from 0. nan where nothing varies; estimate
        and p-value nan where the base is 0.
    Source: `lift_bounds` with the boundary of `confidence_sequence`.
    """
    d, v_d, m, v_m, v_dm = contrast
    low, high, _ = lift_bounds(contrast, sequence_boundary(n, alpha, tuning_n=tuning_n, tuning_alpha=tuning_alpha))
    with np.errstate(all="ignore"):
        of_difference = confidence_sequence(
            d, np.sqrt(v_d), n, alpha, tuning_n=tuning_n, tuning_alpha=tuning_alpha
        ).p_value
        ratio = d / np.where(m == 0.0, np.nan, m)
        standard_error = np.sqrt(np.maximum(v_d - 2.0 * ratio * v_dm + ratio**2 * v_m, 0.0)) / np.abs(m)
    p_value = np.where(np.isnan(ratio), np.nan, of_difference)
    return Effect(ratio * np.sign(m), standard_error, low, high, p_value, np.full(np.shape(ratio), np.inf))


def msprt(
    estimate: ArrayLike,
    standard_error: ArrayLike,
    mixing_variance: ArrayLike,
    alpha: float = 0.05,
    *,
    sided: Sided = "two",
) -> Effect:
    """Mixture sequential probability ratio test with a normal mixture over effects, for comparison.

        Λ = sqrt(V/(V + τ²)) exp(τ² d²/(2 V (V + τ²)))      V = se²      p = min(1, 1/Λ)
        half² = V (V + τ²)/τ² [2 log(1/α) + log((V + τ²)/V)]

    It is the confidence sequence with nρ² = τ²/V: the same test, tuned by a guess at the effect's variance instead of
    the sample size.

    Args:
        mixing_variance: τ², the variance of effects one expects, in the estimate's unit squared; shape (k,) or one.
    Returns: Effect; nan where the standard error is 0 or nan.
    Source: Johari, Koomen, Pekelis and Walsh (2022), Operations Research 70, arXiv:1512.04922, section 4.
    """
    check_rate("alpha", alpha)
    check_sided(sided)
    tau2 = np.asarray(mixing_variance, dtype=np.float64)
    if np.any(tau2 <= 0.0):
        raise InvalidInput("mixing_variance", f"found {np.min(tau2):g}; must be above 0")
    with np.errstate(all="ignore"):
        information = tau2 / np.asarray(standard_error, dtype=np.float64) ** 2
    return _mixture(estimate, standard_error, information, alpha, sided)


def running(effect: Effect, axis: int = -1) -> Effect:
    """Intersection of a sequence's intervals and smallest p-value so far, along the axis of looks (a free gain).

    An empty intersection (low above high) says that the effect has changed over time.
    """
    low = np.fmax.accumulate(effect.low, axis=axis)
    high = np.fmin.accumulate(effect.high, axis=axis)
    return effect._replace(low=low, high=high, p_value=np.fmin.accumulate(effect.p_value, axis=axis))


def _mixture(
    estimate: ArrayLike, standard_error: ArrayLike, information: ArrayLike, alpha: float, sided: Sided
) -> Effect:
    """Normal-mixture boundary; information = nρ² (the mixture's variance in units of se²), shape (k,)."""
    est, se, m = np.broadcast_arrays(
        np.asarray(estimate, dtype=np.float64),
        np.asarray(standard_error, dtype=np.float64),
        np.asarray(information, dtype=np.float64),
    )
    with np.errstate(all="ignore"):
        defined = np.isfinite(est) & np.isfinite(se) & (se > 0.0) & np.isfinite(m) & (m > 0.0)
        usable = np.where(defined, se, np.nan)
        log_root = 0.5 * np.log1p(m)
        z2 = (est / usable) ** 2
        exponent = z2 * m / (2.0 * (m + 1.0))
        scale = 2.0 * (m + 1.0) / m
        if sided == "two":
            half = usable * np.sqrt(scale * (log_root - np.log(alpha)))
            p = np.exp(np.minimum(log_root - exponent, 0.0))
            low, high = est - half, est + half
        else:
            half = usable * np.sqrt(scale * np.logaddexp(0.0, log_root - np.log(2.0 * alpha)))
            right = est if sided == "greater" else -est
            p = np.where(right > 0.0, np.exp(np.minimum(log_root - np.log(2.0) - _log_expm1(exponent), 0.0)), 1.0)
            low = est - half if sided == "greater" else np.where(defined, -np.inf, np.nan)
            high = est + half if sided == "less" else np.where(defined, np.inf, np.nan)
        p = np.where(defined, p, np.nan)
        shown_se = np.where(np.isfinite(se) & (se >= 0.0), se, np.nan)
    return Effect(est.copy(), shown_se, low, high, p, np.full(est.shape, np.inf))


def _log_expm1(x: FloatArray) -> FloatArray:
    """log(exp(x) - 1) without overflow."""
    return np.where(x > 30.0, x + np.log1p(-np.exp(-np.maximum(x, 30.0))), np.log(np.expm1(np.minimum(x, 30.0))))
