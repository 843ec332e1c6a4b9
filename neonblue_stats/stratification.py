"""Comparisons within groups: post-stratification against chance imbalance, and segments that differ."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .effect import Effect, FloatArray, Sided, t_effect
from .moments import Moments
from .multiplicity import Method, adjust, interval_alpha
from .relative import relative_variance


class PostStratified(NamedTuple):
    """Adjusted effect, shape (k,), and the part of the plain difference's variance that the strata removed."""

    effect: Effect
    variance_reduction: FloatArray


def post_stratify(
    control: Moments,
    treatment: Moments,
    alpha: float = 0.05,
    *,
    relative: bool = False,
    sided: Sided = "two",
) -> PostStratified:
    """Means per stratum, weighted by the strata's shares of both variants together; one test per column.

        W_s = (n_cs + n_ts)/n      m_v = Σ W_s m_vs      var(m_v) = Σ W_s² s_vs²/n_vs      then difference or lift

    A stratum in which a variant has fewer than two users is merged with the others of its kind before the weights
    are made (a stratum of its own could not be compared). df after Satterthwaite over all cells.

    Args:
        control, treatment: shape (strata, k), or (strata,) for one test. Strata are fixed before exposure: country,
            device at the first visit, with or without history.
    Returns: PostStratified, fields of shape (k,).
    Source: Miratrix, Sekhon and Yu (2013), JRSS B 75, 369-396, doi:10.1111/j.1467-9868.2012.01048.x.
    """
    control, treatment = _merge_thin(control, treatment)
    with np.errstate(all="ignore"):
        n = control.n + treatment.n
        used = (control.n >= 2.0) & (treatment.n >= 2.0)
        total = np.where(used, n, 0.0).sum(axis=0)
        share = np.where(used, n, 0.0) / np.where(total > 0.0, total, np.nan)
        m_c, v_c, d_c = _weighted(control, share, used)
        m_t, v_t, d_t = _weighted(treatment, share, used)
        if relative:
            estimate, variance = relative_variance(m_c, v_c, m_t, v_t)
        else:
            estimate, variance = m_t - m_c, v_c + v_t
        df = (v_c + v_t) ** 2 / (d_c + d_t)
        plain_c, plain_t = _pool(control), _pool(treatment)
        plain = plain_c.variance_of_mean + plain_t.variance_of_mean
        reduction = np.where(plain > 0.0, 1.0 - (v_c + v_t) / plain, np.nan)
    return PostStratified(t_effect(estimate, np.sqrt(variance), df, alpha=alpha, sided=sided), reduction)


class Segments(NamedTuple):
    """Effects per segment and the test of whether they differ.

    Attributes:
        effects: shape (segments, k); p_value adjusted, low and high at the level that matches.
        interaction_p_value: shape (k,): probability of effects at least so different, were they all the same.
        interaction_statistic: Cochran's Q, shape (k,).
        differs: interaction_p_value < alpha: a warning that one number does not describe all segments.
    """

    effects: Effect
    interaction_p_value: FloatArray
    interaction_statistic: FloatArray
    differs: np.ndarray


def by_segment(effects: Effect, alpha: float = 0.05, *, method: Method = "holm", sided: Sided = "two") -> Segments:
    """Results by dimension (device, browser, country), corrected, with an interaction test.

        Q = Σ (d_s - d̄)²/se_s²      d̄ = Σ (d_s/se_s²)/Σ (1/se_s²)      p = P(chi² with S - 1 df > Q)

    Args:
        effects: plain effects of shape (segments, k), from any method; undefined segments (nan) are left out.
    Agrees with: statsmodels combine_effects (Q, fixed effect); for two segments, the z test of the interaction term.
    Source: Cochran (1954), Biometrics 10, 101-129; Wang et al. (2007), NEJM 357, 2189-2194, on reporting subgroups.
    """
    with np.errstate(all="ignore"):
        defined = np.isfinite(effects.estimate) & (effects.standard_error > 0.0)
        weight = np.where(defined, 1.0 / effects.standard_error**2, 0.0)
        d = np.where(defined, effects.estimate, 0.0)
        middle = (weight * d).sum(axis=0) / weight.sum(axis=0)
        q = (weight * (d - middle) ** 2).sum(axis=0)
        segments = defined.sum(axis=0)
        p = np.where(segments > 1, special.chdtrc(np.maximum(segments - 1, 1), q), np.nan)
    plain = t_effect(effects.estimate, effects.standard_error, effects.df, alpha=alpha, sided=sided)
    rows = np.moveaxis(plain.p_value, 0, -1)
    adjusted = np.moveaxis(adjust(rows, method), -1, 0)
    levels = np.moveaxis(interval_alpha(rows, method, alpha), -1, 0)
    low, high = intervals_at(plain, levels, sided=sided)
    return Segments(
        plain._replace(low=low, high=high, p_value=adjusted), p, np.where(segments > 1, q, np.nan), p < alpha
    )


def intervals_at(effect: Effect, levels: ArrayLike, *, sided: Sided = "two") -> tuple[FloatArray, FloatArray]:
    """Low and high of effects, each at its own alpha (see multiplicity.interval_alpha); all of one shape."""
    level = np.asarray(levels, dtype=np.float64)
    with np.errstate(all="ignore"):
        tail = level / 2.0 if sided == "two" else level
        finite = np.isfinite(effect.df)
        quantile = np.where(finite, -special.stdtrit(np.where(finite, effect.df, 1.0), tail), -special.ndtri(tail))
        half = np.where(np.isnan(effect.p_value), np.nan, quantile * effect.standard_error)
        low = np.where(np.isnan(half), np.nan, -np.inf) if sided == "less" else effect.estimate - half
        high = np.where(np.isnan(half), np.nan, np.inf) if sided == "greater" else effect.estimate + half
    return low, high


def _weighted(group: Moments, share: FloatArray, used: np.ndarray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weighted mean, its variance, and its part of Satterthwaite's denominator."""
    cell = np.where(used, share**2 * group.variance_of_mean, 0.0)
    mean = np.where(used, share * group.mean, 0.0).sum(axis=0)
    defined = used.any(axis=0)
    denominator = np.where(used, cell**2 / np.where(used, group.n - 1.0, 1.0), 0.0).sum(axis=0)
    return np.where(defined, mean, np.nan), np.where(defined, cell.sum(axis=0), np.nan), denominator


def _pool(group: Moments) -> Moments:
    total = Moments(group.n[0], group.mean[0], group.var[0])
    for s in range(1, group.n.shape[0]):
        total = total + Moments(group.n[s], group.mean[s], group.var[s])
    return total


def _merge_thin(control: Moments, treatment: Moments) -> tuple[Moments, Moments]:
    """Strata too thin in a variant become one; if that one is still too thin, it joins the largest stratum."""
    thin = (control.n < 2.0) | (treatment.n < 2.0)
    if not np.any(thin):
        return control, treatment
    thin = np.broadcast_to(thin, control.n.shape)
    rest_c, rest_t = (_pool(Moments(np.where(thin, g.n, 0.0), g.mean, g.var)) for g in (control, treatment))
    still_thin = (rest_c.n < 2.0) | (rest_t.n < 2.0)
    kept = [Moments(np.where(thin, 0.0, g.n), g.mean, g.var) for g in (control, treatment)]
    strata = control.n.shape[0]
    largest = np.argmax(kept[0].n + kept[1].n, axis=0)
    result = []
    for group, rest in zip(kept, (rest_c, rest_t), strict=True):
        here = (np.arange(strata).reshape(-1, *(1,) * largest.ndim) == largest) & still_thin
        joined = group + Moments(
            np.where(here, rest.n, 0.0), np.where(here, rest.mean, 0.0), np.where(here, rest.var, 0.0)
        )
        own = Moments(np.where(still_thin, 0.0, rest.n), rest.mean, rest.var)
        pairs = ((joined.n, own.n), (joined.mean, own.mean), (joined.var, own.var))
        result.append(Moments(*(np.concatenate([cells, rest_cell[None]]) for cells, rest_cell in pairs)))
    return result[0], result[1]
