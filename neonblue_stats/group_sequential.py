"""Group sequential tests: a few planned looks, at any times, by Lan and DeMets's alpha spending."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from .effect import Effect, FloatArray, Sided, check_sided
from .errors import InvalidInput, check_rate

Spending = Literal["obrien_fleming", "pocock"]
SPENDINGS: tuple[Spending, ...] = ("obrien_fleming", "pocock")

# Beyond this z a look spends less than 1e-300: no boundary can be told from infinity.
_Z_MAX = 37.0
_LEAST_SPENT = 1e-305
# Between looks that need more panels than this the motion hardly moves: what has not crossed stays where it was.
_MOST_PANELS = 128
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)


class Boundaries(NamedTuple):
    """Of each look, shape (looks,): the z value that stops the test, and the alpha spent up to it.

    z is that of |z| for two-sided tests, of z for 'greater', of -z for 'less'; inf where nothing is spent.
    """

    z: FloatArray
    spent: FloatArray


def spent_alpha(information: ArrayLike, alpha: float, spending: Spending, *, sided: Sided = "two") -> FloatArray:
    """Cumulative alpha at fractions of the final information.

        obrien_fleming: a*(t) = 2 - 2 Φ(z_{1 - a/2}/sqrt(t))      pocock: a*(t) = a log(1 + (e - 1) t)

    A two-sided test spends alpha/2 on each side by these one-sided functions, as in the published tables.
    Source: Lan and DeMets (1983), Biometrika 70, 659-663, doi:10.1093/biomet/70.3.659.
    """
    check_rate("alpha", alpha)
    if spending not in SPENDINGS:
        raise InvalidInput("spending", f"found {spending!r}; must be one of {', '.join(SPENDINGS)}")
    t = np.minimum(np.asarray(information, dtype=np.float64), 1.0)
    sides = 2.0 if sided == "two" else 1.0
    a = alpha / sides
    if spending == "obrien_fleming":
        with np.errstate(divide="ignore"):
            one_side = 2.0 * special.ndtr(special.ndtri(a / 2.0) / np.sqrt(t))
    else:
        one_side = a * np.log1p(np.expm1(1.0) * t)
    return np.asarray(sides * one_side)


def boundaries(
    looks: Sequence[float], alpha: float = 0.05, spending: Spending = "obrien_fleming", *, sided: Sided = "two"
) -> Boundaries:
    """Stopping boundaries for looks at any times.

    The z values of the looks have the law of a Brownian motion B(t)/sqrt(t). Boundary k solves
    P(no crossing before look k, crossing at k) = spent(t_k) - spent(t_{k-1}), by the recursive integration of
    Armitage, McPherson and Rowe with Gauss-Legendre quadrature on panels no wider than two steps of the motion.

    Args:
        looks: fractions of the final information (users, for means), increasing, above 0, at most 1. Of looks nearer
            to each other than a ten-thousandth the later one's boundary has three digits.
        sided: 'two' is symmetric.
    Agrees with: the published tables (five equal looks, alpha .05 two-sided: O'Brien-Fleming type 4.8769, 3.3569,
        2.6803, 2.2898, 2.0310; Pocock type 2.4380, 2.4268, 2.4101, 2.3966, 2.3859) up to their own rounding (the
        second one is 3.35701), and with scipy.stats.multivariate_normal.cdf over the looks.
    Source: Armitage, McPherson and Rowe (1969), JRSS A 132, 235-244; Reboussin, DeMets, Kim and Lan (2000),
        Controlled Clinical Trials 21, 190-207.
    """
    t = np.asarray(looks, dtype=np.float64)
    check_sided(sided)
    if (
        t.ndim != 1
        or t.size == 0
        or not np.all(np.isfinite(t))
        or t[0] <= 0.0
        or t[-1] > 1.0
        or np.any(np.diff(t) <= 0.0)
    ):
        raise InvalidInput("looks", f"found {list(looks)}; must be increasing fractions above 0 and at most 1")
    spent = spent_alpha(t, alpha, spending, sided=sided)
    z = np.array(_solve(tuple(t.tolist()), tuple(spent.tolist()), sided == "two"))
    return Boundaries(z, spent)


def group_sequential(
    estimate: ArrayLike,
    standard_error: ArrayLike,
    looks: Sequence[float],
    alpha: float = 0.05,
    spending: Spending = "obrien_fleming",
    *,
    sided: Sided = "two",
) -> Effect:
    """Repeated confidence interval and p-value at the last of the given looks, shape (k,).

    The interval is estimate ± z_k se with the boundary of this look: over all looks together it covers the truth with
    probability 1 - alpha, whether or not the test is stopped. The p-value is the smallest alpha whose boundary of this
    look is crossed, read from a curve through 20 levels, one of them alpha, so that interval and p-value agree exactly.

    Args:
        looks: all looks so far, as fractions of the planned information; the last is now.
    Source: Jennison and Turnbull (1989), JRSS B 51, 305-361.
    """
    now = float(boundaries(looks, alpha, spending, sided=sided).z[-1])
    est, se = np.broadcast_arrays(np.asarray(estimate, dtype=np.float64), np.asarray(standard_error, dtype=np.float64))
    levels, z_of_level = _level_table(tuple(float(x) for x in looks), float(alpha), spending, sided)
    with np.errstate(all="ignore"):
        usable = np.where(np.isfinite(est) & np.isfinite(se) & (se > 0.0), se, np.nan)
        z = est / usable
        toward = np.abs(z) if sided == "two" else (z if sided == "greater" else -z)
        # levels rise as their boundaries fall; outside the curve the nearest level stands
        curve = scipy.interpolate.PchipInterpolator(-z_of_level, np.log(levels))
        p = np.exp(curve(np.clip(-toward, -z_of_level[0], -z_of_level[-1])))
        p = np.where(toward <= z_of_level[-1], 1.0, p)
        p = np.where(np.isnan(toward), np.nan, p)
        half = now * usable
        low = np.where(np.isnan(half), np.nan, -np.inf) if sided == "less" else est - half
        high = np.where(np.isnan(half), np.nan, np.inf) if sided == "greater" else est + half
        shown_se = np.where(np.isfinite(se) & (se >= 0.0), se, np.nan)
    return Effect(est.copy(), shown_se, low, high, p, np.full(est.shape, np.inf))


@lru_cache(maxsize=256)
def _level_table(
    looks: tuple[float, ...], alpha: float, spending: Spending, sided: Sided
) -> tuple[FloatArray, FloatArray]:
    """Levels, rising, and the boundary of the last look at each, falling."""
    levels = np.unique(np.concatenate([np.geomspace(1e-8, 0.5, 17), [0.7, 0.9, alpha]]))
    z = np.array([boundaries(looks, float(a), spending, sided=sided).z[-1] for a in levels])
    return levels, z


@lru_cache(maxsize=1024)
def _solve(t: tuple[float, ...], spent: tuple[float, ...], two_sided: bool) -> tuple[float, ...]:
    z: list[float] = []
    nodes = np.zeros(1)  # where the motion may be at the last look, without having crossed
    density = np.ones(1)  # weight of each node
    before, spent_before = 0.0, 0.0
    for now, spent_now in zip(t, spent, strict=True):
        step = np.sqrt(now - before)
        target = spent_now - spent_before
        bound = _boundary(nodes, density, step, np.sqrt(now), target, two_sided)
        z.append(bound)
        edge = min(bound, _Z_MAX) * np.sqrt(now)
        reach = 9.0 * np.sqrt(now)
        low, high = (-min(edge, reach) if two_sided else -reach), min(edge, reach)
        panels = max(2, int(np.ceil((high - low) / (2.0 * step) / 4.0)))
        if panels > _MOST_PANELS:
            inside = (nodes >= low) & (nodes <= high)
            nodes, density = nodes[inside], density[inside]
            before, spent_before = now, spent_now
            continue
        edges = np.linspace(low, high, panels + 1)
        half = 0.5 * np.diff(edges)[:, None]
        new_nodes = (edges[:-1, None] + half * (1.0 + _NODES)).ravel()
        weights = (half * _WEIGHTS).ravel()
        nodes, density = new_nodes, weights * _moved(nodes, density, new_nodes.reshape(panels, -1), step, now)
        before, spent_before = now, spent_now
    return tuple(z)


def _moved(nodes: FloatArray, density: FloatArray, panels: FloatArray, step: float, now: float) -> FloatArray:
    """The density one step of the motion later, at the nodes of `panels`, shape (panels, nodes of one).

    From nodes farther than ten steps nothing arrives; in the tails, up to z = 37, the likely way is z step²/√t longer.
    """
    far = step * (10.0 + _Z_MAX * step / np.sqrt(now))
    moved = np.empty(panels.shape)
    for place, panel in enumerate(panels):
        near = slice(np.searchsorted(nodes, panel[0] - far), np.searchsorted(nodes, panel[-1] + far))
        moved[place] = np.exp(-0.5 * ((panel[:, None] - nodes[near]) / step) ** 2) @ density[near]
    return moved.ravel() / (step * np.sqrt(2.0 * np.pi))


def _boundary(
    nodes: FloatArray, density: FloatArray, step: float, root_t: float, target: float, two_sided: bool
) -> float:
    """The z at which the probability of crossing now equals `target`."""

    def crossing(z: float) -> float:
        edge = z * root_t
        out = special.ndtr((nodes - edge) / step)
        if two_sided:
            out = out + special.ndtr((-edge - nodes) / step)
        return float(density @ out)

    lowest = 0.0 if two_sided else -_Z_MAX
    if target <= max(crossing(_Z_MAX), _LEAST_SPENT):
        return float("inf")
    if target >= crossing(lowest):
        return lowest
    # in logs, as the first looks of an O'Brien-Fleming plan spend 1e-100
    return float(
        scipy.optimize.brentq(
            lambda z: np.log(max(crossing(z), _LEAST_SPENT) / target), lowest, _Z_MAX, xtol=1e-12, rtol=1e-14
        )
    )
