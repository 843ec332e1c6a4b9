"""Difference of two proportions by the normal law, one test per row."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .effect import Effect, FloatArray, Sided, t_effect
from .moments import Moments


def two_proportion_z(control: Moments, treatment: Moments, alpha: float = 0.05, *, sided: Sided = "two") -> Effect:
    """Difference of two proportions, one z test per row.

        d = p_t - p_c      se² = p_t (1 - p_t)/n_t + p_c (1 - p_c)/n_c      z = d / se

    The standard error is the unpooled one, in the test as in the interval. The textbook pairs a pooled test with an
    unpooled interval; the two then contradict each other near alpha. A test that pools agrees with this one to order
    1/n under no effect; it is given by `pooled_z_p_value` for those who must compare.

    Args:
        control, treatment: shape (k,); only `n` and `mean` (the proportion) are read.
    Returns:
        Arrays of shape (k,), as fractions (0.01 is one percentage point). low, high, p_value are nan where both
        proportions are 0 or 1, so that nothing varies, or a side has no units.
    Agrees with: statsmodels test_proportions_2indep and confint_proportions_2indep (method='wald').
    Source: Wald interval and test, Agresti (2013), Categorical Data Analysis, 3rd ed., section 3.1.
    >>> print(two_proportion_z(Moments.from_proportion(1000, 100), Moments.from_proportion(1000, 130)).p_value.round(4))
    0.0353
    """
    with np.errstate(all="ignore"):
        variance = binomial_variance(control) / control.n + binomial_variance(treatment) / treatment.n
        return t_effect(treatment.mean - control.mean, np.sqrt(variance), alpha=alpha, sided=sided)


def binomial_variance(group: Moments) -> FloatArray:
    """p (1 - p), shape (k,); nan where the proportion is outside 0..1."""
    p = group.mean
    with np.errstate(all="ignore"):
        return np.where((p >= 0.0) & (p <= 1.0), p * (1.0 - p), np.nan)


def binomial(n: ArrayLike, successes: ArrayLike) -> Moments:
    """Moments whose variance is p (1 - p), divisor n: what the z test uses, for methods that read `var`."""
    counted = Moments.from_proportion(n, successes)
    return Moments(counted.n, counted.mean, binomial_variance(counted))


def pooled_z_p_value(control: Moments, treatment: Moments) -> FloatArray:
    """Two-sided p of the test that pools the variance, shape (k,). Agrees with statsmodels proportions_ztest."""
    with np.errstate(all="ignore"):
        n = control.n + treatment.n
        p = (control.n * control.mean + treatment.n * treatment.mean) / n
        variance = p * (1.0 - p) * (1.0 / control.n + 1.0 / treatment.n)
        return t_effect(treatment.mean - control.mean, np.sqrt(variance)).p_value
