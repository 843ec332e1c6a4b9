"""Planning: users needed, smallest effect that shows, power, days left; before and in the middle of an experiment."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from .anytime import sequence_boundary
from .effect import FloatArray, Sided, check_sided
from .errors import InvalidInput, check_rate

Metric = Literal["mean", "proportion"]


def power(
    n: ArrayLike,
    mean: ArrayLike,
    effect_size: ArrayLike,
    variance: ArrayLike | None = None,
    *,
    metric: Metric = "mean",
    relative: bool = True,
    alpha: float = 0.05,
    sided: Sided = "two",
    variants: int = 2,
    comparisons: int = 1,
    variance_reduction: ArrayLike = 0.0,
    sequential_tuning_n: float | None = None,
) -> FloatArray:
    """Probability that a treatment's difference is significant, by the normal law; shape (k,).

        se² = (σ_c² + σ_t²)/(n/variants)      mean: σ_c² = σ_t² = variance      proportion: σ² = p (1 - p)
        two: Φ(δ/se - q) + Φ(-δ/se - q)      greater: Φ(δ/se - q)      less: Φ(-δ/se - q)
        δ = effect_size, or effect_size |mean| where relative      q the critical value

    Args:
        n: users of all variants together; they are split evenly.
        variants: with the control. comparisons: alpha is divided by it (Bonferroni): variants - 1 for a claim on all.
        mean: the control's, shape (k,). variance: of one user, shape (k,); of the linearised variable for a ratio (see
            ratio_moments); not read for a proportion, where it follows from mean and effect.
        variance_reduction: what CUPED or strata are expected to remove, at least 0 and below 1.
        sequential_tuning_n: for a confidence sequence: q is its boundary at n (power at one look at n; continuous
            looks can only find more).
    Agrees with: statsmodels NormalIndPower (mean), tea-tasting Mean.solve_power (use_t=False).
    Source: Cohen (1988), Statistical power analysis, chapter 2; Chow et al. (2017), Sample size calculations, 3.2.
    """
    check_sided(sided)
    level = check_rate("alpha", alpha) / comparisons
    delta = _absolute(effect_size, mean, relative)
    unit = _unit_variance(mean, delta, variance, metric, variance_reduction)
    n_ = np.asarray(n, dtype=np.float64)
    with np.errstate(all="ignore"):
        ncp = delta / np.sqrt(unit * variants / n_)
        q = critical_value(n_ * 2.0 / variants, level, sided, sequential_tuning_n)
        return power_at(ncp, q, sided)


def sample_size(
    mean: ArrayLike,
    effect_size: ArrayLike,
    variance: ArrayLike | None = None,
    *,
    power: float = 0.8,
    metric: Metric = "mean",
    relative: bool = True,
    alpha: float = 0.05,
    sided: Sided = "two",
    variants: int = 2,
    comparisons: int = 1,
    variance_reduction: ArrayLike = 0.0,
    sequential_tuning_n: float | None = None,
) -> FloatArray:
    """Users of all variants together for a given power, shape (k,): variants × the users of one, rounded up.

        n/variants = λ² (σ_c² + σ_t²)/δ²      λ solves power(λ) = power      (λ = z_{1-α/2} + z_power to 6 digits)

    Arguments as for `power`. inf for an effect of 0; nan where a proportion would leave 0..1, or where the effect
    points away from the side that is tested.
    """
    check_rate("power", power)
    check_sided(sided)
    level = check_rate("alpha", alpha) / comparisons
    delta = _absolute(effect_size, mean, relative)
    unit = _unit_variance(mean, delta, variance, metric, variance_reduction)
    with np.errstate(all="ignore"):
        toward = np.abs(delta) if sided == "two" else (delta if sided == "greater" else -delta)
        if sequential_tuning_n is None:
            needed = ncp_for(power, float(critical_value(1.0, level, sided, None)), sided)
            each = (needed / toward) ** 2 * unit
        else:
            each = users_for_sequence(toward, unit, power, level, sided, sequential_tuning_n)
        # a hair off the ceiling, so that rounding in the last digit never asks for one more user
        each = np.where(toward < 0.0, np.nan, np.maximum(np.ceil(each * (1.0 - 1e-12)), 1.0))
    return np.asarray(each * variants)


def minimum_detectable_effect(
    n: ArrayLike,
    mean: ArrayLike,
    variance: ArrayLike | None = None,
    *,
    power: float = 0.8,
    metric: Metric = "mean",
    relative: bool = True,
    alpha: float = 0.05,
    sided: Sided = "two",
    variants: int = 2,
    comparisons: int = 1,
    variance_reduction: ArrayLike = 0.0,
    sequential_tuning_n: float | None = None,
) -> FloatArray:
    """The smallest effect found with the given power by n users of all variants together, shape (k,).

    Positive (the smallest fall for sided='less' is its negative); a lift where `relative`, else in the metric's unit.
    For a proportion the variance of the treatment depends on the effect; the rise is solved for; nan if it passes 1.
    """
    check_rate("power", power)
    check_sided(sided)
    level = check_rate("alpha", alpha) / comparisons
    n_, m = np.asarray(n, dtype=np.float64), np.asarray(mean, dtype=np.float64)
    with np.errstate(all="ignore"):
        q = critical_value(n_ * 2.0 / variants, level, sided, sequential_tuning_n)
        needed = np.vectorize(lambda c: ncp_for(power, float(c), sided), otypes=[np.float64])(q)
        factor = needed**2 * variants / n_  # δ² = factor × (σ_c² + σ_t²)
        sign = -1.0 if sided == "less" else 1.0
        if metric == "proportion":
            # δ² = F r [p(1 - p) + (p + sδ)(1 - p - sδ)] is quadratic in δ
            _unit_variance(m, np.zeros(()), variance, metric, variance_reduction)
            f = factor * (1.0 - np.asarray(variance_reduction, dtype=np.float64))
            b = f * sign * (1.0 - 2.0 * m)
            delta = (b + np.sqrt(b * b + 8.0 * (1.0 + f) * f * m * (1.0 - m))) / (2.0 * (1.0 + f))
            delta = np.where((m + sign * delta <= 1.0) & (m + sign * delta >= 0.0), delta, np.nan)
        else:
            delta = np.sqrt(factor * _unit_variance(m, np.zeros(()), variance, metric, variance_reduction))
        base = np.where(m == 0.0, np.nan, np.abs(m)) if relative else 1.0
        return np.asarray(sign * delta / base)


def days_left(users_needed: ArrayLike, users_so_far: ArrayLike, users_per_day: ArrayLike) -> FloatArray:
    """Whole days until the users needed are there, shape (k,): 0 when they are, inf when nobody comes."""
    with np.errstate(all="ignore"):
        missing = np.asarray(users_needed, dtype=np.float64) - np.asarray(users_so_far, dtype=np.float64)
        rate = np.asarray(users_per_day, dtype=np.float64)
        days = np.ceil(missing / np.where(rate > 0.0, rate, np.nan))
        return np.where(missing <= 0.0, 0.0, np.where(rate > 0.0, days, np.inf))


def power_so_far(
    standard_error: ArrayLike,
    effect_size: ArrayLike,
    *,
    share_of_final: ArrayLike = 1.0,
    alpha: float = 0.05,
    sided: Sided = "two",
    comparisons: int = 1,
) -> FloatArray:
    """Power in the middle of an experiment, from the standard error that the data show; shape (k,).

    Args:
        standard_error: of the running comparison; with CUPED, of the adjusted one.
        effect_size: the effect one wants to find, in the same unit (fraction or metric's unit), never the estimate.
        share_of_final: users so far / users at the end; 1 gives the power now, less the power at the end.
    Agrees with: gbstats MidExperimentPower (fixed, flat prior).
    """
    check_sided(sided)
    level = check_rate("alpha", alpha) / comparisons
    with np.errstate(all="ignore"):
        final_se = np.asarray(standard_error, dtype=np.float64) * np.sqrt(np.asarray(share_of_final, dtype=np.float64))
        ncp = np.asarray(effect_size, dtype=np.float64) / np.where(final_se > 0.0, final_se, np.nan)
        return power_at(ncp, critical_value(1.0, level, sided, None), sided)


def _absolute(effect_size: ArrayLike, mean: ArrayLike, relative: bool) -> FloatArray:
    effect = np.asarray(effect_size, dtype=np.float64)
    with np.errstate(over="ignore"):
        return effect * np.abs(np.asarray(mean, dtype=np.float64)) if relative else effect


def _unit_variance(
    mean: ArrayLike, delta: FloatArray, variance: ArrayLike | None, metric: Metric, variance_reduction: ArrayLike
) -> FloatArray:
    """σ_c² + σ_t² of one user each, shape (k,); nan where a proportion leaves 0..1."""
    m = np.asarray(mean, dtype=np.float64)
    left = 1.0 - np.asarray(variance_reduction, dtype=np.float64)
    if np.any((left <= 0.0) | (left > 1.0)):
        raise InvalidInput("variance_reduction", f"found {variance_reduction!r}; must be at least 0 and below 1")
    if metric == "mean":
        if variance is None or np.any(np.asarray(variance, dtype=np.float64) <= 0.0):
            raise InvalidInput("variance", f"found {variance!r}; a mean needs a variance above 0")
        with np.errstate(over="ignore"):
            return np.asarray(2.0 * np.asarray(variance, dtype=np.float64) * left)
    if np.any((m <= 0.0) | (m >= 1.0)):
        raise InvalidInput("mean", f"found {mean!r}; a proportion must be above 0 and below 1")
    p_t = m + delta
    return np.where((p_t >= 0.0) & (p_t <= 1.0), (m * (1.0 - m) + p_t * (1.0 - p_t)) * left, np.nan)


def critical_value(
    pair_n: ArrayLike, level: float, sided: Sided, tuning_n: float | None, tuning_alpha: float | None = None
) -> FloatArray:
    """z that must be passed, shape (k,); for a confidence sequence (tuning_n) it depends on the users of the pair."""
    if tuning_n is not None:
        return sequence_boundary(pair_n, level, tuning_n=tuning_n, tuning_alpha=tuning_alpha, sided=sided)
    return np.asarray(-special.ndtri(level / 2.0 if sided == "two" else level))


def power_at(ncp: FloatArray, q: FloatArray, sided: Sided) -> FloatArray:
    """Power at a non-centrality (effect/standard error) against a critical value, shape (k,)."""
    if sided == "less":
        return np.asarray(special.ndtr(-ncp - q))
    up = special.ndtr(ncp - q)
    return np.asarray(up + special.ndtr(-ncp - q) if sided == "two" else up)


def ncp_for(power: float, q: float, sided: Sided) -> float:
    """Non-centrality at which the test has this power: 0 when chance alone gives more."""
    if not np.isfinite(q):
        return float("nan")
    simple = max(q + float(special.ndtri(power)), 0.0)
    if sided != "two":
        return simple
    if power <= 2.0 * float(special.ndtr(-q)):
        return 0.0
    wanted = lambda x: float(special.ndtr(x - q) + special.ndtr(-x - q)) - power  # noqa: E731
    return float(scipy.optimize.brentq(wanted, 0.0, simple + 2.0, xtol=1e-13))


def users_for_sequence(
    toward: FloatArray,
    unit: FloatArray,
    power: float,
    level: float,
    sided: Sided,
    tuning_n: float,
    tuning_alpha: float | None = None,
) -> FloatArray:
    """Users of one variant at which the power of a confidence sequence reaches `power`: bisection on log n."""
    toward, unit = np.broadcast_arrays(toward, unit)
    low, high = np.full(toward.shape, np.log(1.0)), np.full(toward.shape, np.log(1e15))
    for _ in range(80):
        middle = 0.5 * (low + high)
        n = np.exp(middle)
        ncp = toward / np.sqrt(unit / n)
        q = critical_value(2.0 * n, level, sided, tuning_n, tuning_alpha)
        reached = power_at(ncp, q, "two" if sided == "two" else "greater") >= power
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    each = np.exp(high)
    return np.where(np.isnan(unit), np.nan, np.where(each > 5e14, np.inf, each))
