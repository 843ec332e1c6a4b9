"""Bayesian answers: how probable it is that the treatment is better, and what is lost if it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .effect import FloatArray, Sided, check_sided
from .errors import InvalidInput, check_rate


class Posterior(NamedTuple):
    """Posterior of an effect; fields of shape (k,).

    Attributes:
        estimate, standard_error: posterior mean and standard deviation, in the effect's unit.
        low, high: credible interval that leaves alpha/2 on each side (alpha on one side if one-sided).
        chance_to_win: probability that the treatment is better than the control.
        expected_loss: what one loses on average, in the effect's unit, by shipping the treatment: E[max(-effect, 0)]
            where higher is better.
        expected_loss_control: what one loses by keeping the control: E[max(effect, 0)].
    All nan where the data's standard error is 0 or nan.
    """

    estimate: FloatArray
    standard_error: FloatArray
    low: FloatArray
    high: FloatArray
    chance_to_win: FloatArray
    expected_loss: FloatArray
    expected_loss_control: FloatArray


def gaussian_posterior(
    estimate: ArrayLike,
    standard_error: ArrayLike,
    alpha: float = 0.05,
    *,
    prior_mean: ArrayLike = 0.0,
    prior_variance: ArrayLike = np.inf,
    sided: Sided = "two",
    higher_is_better: ArrayLike = True,
) -> Posterior:
    """Normal posterior of an effect with normal likelihood; the prior is flat or normal.

        1/v = 1/se² + 1/v0      m = v (d/se² + m0/v0)      chance = Φ(m/√v)
        loss of shipping = √v φ(m/√v) - m Φ(-m/√v)

    Args:
        estimate, standard_error: shape (k,), a difference or a lift.
        prior_mean, prior_variance: of the effect, in its own unit (squared); infinite variance is the flat prior.
        higher_is_better: shape (k,) or one; for False chance and loss are those of a fall.
    Agrees with: gbstats EffectBayesianABTest (flat and proper prior).
    Source: Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., section 2.5; Stucchio (2015), Bayesian A/B testing
        at VWO, for the expected loss.
    """
    check_rate("alpha", alpha)
    check_sided(sided)
    v0 = np.asarray(prior_variance, dtype=np.float64)
    if np.any(v0 <= 0.0):
        raise InvalidInput("prior_variance", f"found {np.min(v0):g}; must be above 0 (infinite for a flat prior)")
    est = np.asarray(estimate, dtype=np.float64)
    se = np.asarray(standard_error, dtype=np.float64)
    with np.errstate(all="ignore"):
        defined = np.isfinite(est) & np.isfinite(se) & (se > 0.0)
        precision = np.where(defined, 1.0 / se**2, np.nan)
        v = 1.0 / (precision + 1.0 / v0)
        mean = v * (est * precision + np.asarray(prior_mean, dtype=np.float64) / v0)
        sd = np.sqrt(v)
        z = mean / sd
        tail = alpha / 2.0 if sided == "two" else alpha
        half = -special.ndtri(tail) * sd
        low = mean - half if sided != "less" else np.where(np.isnan(mean), np.nan, -np.inf)
        high = mean + half if sided != "greater" else np.where(np.isnan(mean), np.nan, np.inf)
        up = special.ndtr(z)
        loss_if_higher, loss_if_lower = sd * _unit_loss(z), sd * _unit_loss(-z)
        better = np.asarray(higher_is_better, dtype=bool)
    return Posterior(
        mean,
        sd,
        low,
        high,
        np.where(better, up, special.ndtr(-z)),
        np.where(better, loss_if_higher, loss_if_lower),
        np.where(better, loss_if_lower, loss_if_higher),
    )


def _unit_loss(z: FloatArray) -> FloatArray:
    """E[max(-Z, 0)] for Z normal with mean z and variance 1: φ(z) - z Φ(-z), kept positive far in the tail."""
    with np.errstate(all="ignore"):
        # φ(z) - z Φ(-z) = φ(z) (1 - z M(z)) with Mills' ratio M, which erfcx gives without underflow
        density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
        mills = np.sqrt(np.pi / 2.0) * special.erfcx(z / np.sqrt(2.0))
        direct = density - z * special.ndtr(-z)
        far = density * np.where(z > 20.0, 1.0 / (1.0 + z * z), 1.0 - z * mills)
        return np.where(z > 2.0, far, direct)


# Trapezoid nodes in the normal scale: the rule converges exponentially for smooth integrands.
_NODES = np.linspace(-8.25, 8.25, 133)
_WEIGHTS = np.exp(-0.5 * _NODES**2) / np.exp(-0.5 * _NODES**2).sum()


def beta_binomial(
    control_n: ArrayLike,
    control_successes: ArrayLike,
    treatment_n: ArrayLike,
    treatment_successes: ArrayLike,
    alpha: float = 0.05,
    *,
    prior: tuple[float, float] = (1.0, 1.0),
    relative: bool = False,
) -> Posterior:
    """Posterior of the difference (or lift) of two proportions under Beta(a, b) priors, without approximation.

        p_i ~ Beta(a + x_i, b + n_i - x_i)      chance = E_t[F_c(p_t)]      loss = E_t[E_c[max(p_c - p_t, 0)]]

    The outer mean, over the sharper of the two posteriors, is a 133-node trapezoid sum in the normal scale of its
    quantile; the inner one is closed. The interval inverts the same sum.

    Args:
        arrays of shape (k,); prior: a, b > 0, (1, 1) is the flat one.
    Returns: Posterior, fields of shape (k,), in fractions. For `relative`, estimate and standard_error are those of
        p_t/p_c - 1 and nan where the control's posterior has no such moment (a + x_c <= 2); expected losses stay
        in the unit of the proportion.
    Agrees with: the closed form of Miller (2015), Formulas for Bayesian A/B testing, and scipy by simulation.
    """
    check_rate("alpha", alpha)
    a0, b0 = prior
    if not (a0 > 0.0 and b0 > 0.0):
        raise InvalidInput("prior", f"found {prior}; both must be above 0")
    n_c, x_c, n_t, x_t = (
        np.atleast_1d(a)
        for a in np.broadcast_arrays(
            *(np.asarray(v, dtype=np.float64) for v in (control_n, control_successes, treatment_n, treatment_successes))
        )
    )
    for field, n, x in (("control_successes", n_c, x_c), ("treatment_successes", n_t, x_t)):
        if np.any((x < 0.0) | (x > n)):
            raise InvalidInput(field, "must be between 0 and n")
    a_c, b_c, a_t, b_t = a0 + x_c, b0 + n_c - x_c, a0 + x_t, b0 + n_t - x_t
    m_c, m_t = a_c / (a_c + b_c), a_t / (a_t + b_t)
    v_c, v_t = (m * (1.0 - m) / (a + b + 1.0) for m, a, b in ((m_c, a_c, b_c), (m_t, a_t, b_t)))
    # outer mean over the sharper posterior, so that the inner probability is smooth between two nodes
    swap = v_c < v_t
    a_out, b_out = np.where(swap, a_c, a_t), np.where(swap, b_c, b_t)
    a_in, b_in = (np.where(swap, t, c)[:, None] for t, c in ((a_t, a_c), (b_t, b_c)))
    nodes = special.betaincinv(a_out[:, None], b_out[:, None], special.ndtr(_NODES))
    inner_below = special.betainc(a_in, b_in, nodes)
    chance = np.where(swap, (1.0 - inner_below) @ _WEIGHTS, inner_below @ _WEIGHTS)
    # with B' ~ Beta(a + 1, b): E[(B - x)+] = m P(B' > x) - x P(B > x), E[(x - B)+] = x P(B < x) - m P(B' < x)
    m_in = a_in / (a_in + b_in)
    above = m_in * special.betaincc(a_in + 1.0, b_in, nodes) - nodes * special.betaincc(a_in, b_in, nodes)
    under = nodes * inner_below - m_in * special.betainc(a_in + 1.0, b_in, nodes)
    loss = np.maximum(np.where(swap[:, None], under, above) @ _WEIGHTS, 0.0)
    keep = loss + (m_t - m_c)
    if relative:
        with np.errstate(all="ignore"):
            inverse = np.where(a_c > 1.0, (a_c + b_c - 1.0) / (a_c - 1.0), np.nan)
            inverse2 = np.where(a_c > 2.0, inverse * (a_c + b_c - 2.0) / (a_c - 2.0), np.nan)
            estimate = m_t * inverse - 1.0
            sd = np.sqrt((v_t + m_t**2) * inverse2 - (m_t * inverse) ** 2)
    else:
        estimate, sd = m_t - m_c, np.sqrt(v_t + v_c)

    def below(effect: FloatArray) -> FloatArray:
        """P(effect of the treatment <= effect), from whichever side is outer."""
        e = effect[:, None]
        if relative:
            at = np.where(swap[:, None], nodes * (1.0 + e), nodes / (1.0 + e))
        else:
            at = np.where(swap[:, None], nodes + e, nodes - e)
        at = np.clip(at, 0.0, 1.0)
        inside = np.where(swap[:, None], special.betainc(a_in, b_in, at), special.betaincc(a_in, b_in, at))
        return np.asarray(inside @ _WEIGHTS)

    low, high = (_invert(below, q, relative, m_c.shape) for q in (alpha / 2.0, 1.0 - alpha / 2.0))
    shape = np.broadcast_shapes(np.shape(control_n), np.shape(treatment_n), np.shape(control_successes),
                                np.shape(treatment_successes))  # fmt: skip
    return Posterior(*(f.reshape(shape) for f in (estimate, sd, low, high, chance, loss, keep)))


def _invert(
    below: Callable[[FloatArray], FloatArray], probability: float, relative: bool, shape: tuple[int, ...]
) -> FloatArray:
    """Bisection of an increasing function of the effect: on [-1, 1], or on log(1 + lift) in [-30, 30]."""
    low, high = (np.full(shape, -30.0), np.full(shape, 30.0)) if relative else (np.full(shape, -1.0), np.ones(shape))
    for _ in range(56):
        middle = 0.5 * (low + high)
        too_low = below(np.expm1(middle) if relative else middle) < probability
        low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
    middle = 0.5 * (low + high)
    return np.expm1(middle) if relative else middle
