"""Exact comparison of two proportions, for counts too small for the normal law."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from .effect import FloatArray, Sided, check_sided
from .errors import InvalidInput, check_rate

ExactTest = Literal["auto", "barnard", "boschloo", "fisher"]
EXACT_TESTS: tuple[ExactTest, ...] = ("auto", "barnard", "boschloo", "fisher")

# Up to so many possible tables (n_c + 1)(n_t + 1) Barnard's test is used: about 200 users a variant, within a second.
BARNARD_TABLES = 40_000
# The normal law is trusted from this many expected successes and failures in each variant on.
SMALL_COUNT = 5.0

_GRID = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, 257))  # nuisance proportions, denser near 0 and 1
_COARSE = _GRID[::4]


class ExactResult(NamedTuple):
    """One comparison. low and high are nan for tests that have no interval of the difference or lift.

    `test` names the test that was used.
    """

    estimate: float
    low: float
    high: float
    p_value: float
    test: str


def needs_exact(
    control_n: ArrayLike, control_successes: ArrayLike, treatment_n: ArrayLike, treatment_successes: ArrayLike
) -> np.ndarray:
    """The stated rule, shape (k,): under SMALL_COUNT successes or failures expected in a variant, were both equal."""
    n_c, x_c, n_t, x_t = (
        np.asarray(a, dtype=np.float64) for a in (control_n, control_successes, treatment_n, treatment_successes)
    )
    with np.errstate(all="ignore"):
        p = (x_c + x_t) / (n_c + n_t)
        return np.asarray(np.minimum(p, 1.0 - p) * np.minimum(n_c, n_t) < SMALL_COUNT)


def exact_proportions(
    control_n: int,
    control_successes: int,
    treatment_n: int,
    treatment_successes: int,
    alpha: float = 0.05,
    *,
    sided: Sided = "two",
    relative: bool = False,
    test: ExactTest = "auto",
) -> ExactResult:
    """Exact test of equal proportions, and the interval that inverts it.

    'auto' takes Barnard's unconditional test with the pooled score statistic while there are at most BARNARD_TABLES
    possible tables, and Fisher's beyond. Barnard's p-value is the largest probability, over the unknown common
    proportion, of a table at least as extreme. Its interval holds every difference (or lift) that the same test with
    the score statistic at that difference (Miettinen and Nurminen) does not reject, taken on the estimate's side
    of 0 when 0 is rejected; so interval and p-value agree. Fisher's and Boschloo's tests condition on, or order by,
    the margins and give no interval of a difference: low and high are nan.

    Args:
        counts as whole numbers; sided: 'two', 'greater' (treatment higher) or 'less'.
        relative: interval and estimate of p_t/p_c - 1 in place of p_t - p_c; nan where the control has no success.
    Agrees with: scipy.stats.barnard_exact (pooled), boschloo_exact, fisher_exact; tea-tasting Proportion.
    Source: Barnard (1947), Biometrika 34, 123-138; Boschloo (1970), Statistica Neerlandica 24, 1-9; interval: Agresti
        and Min (2001), Biometrics 57, 963-971; score statistic: Miettinen and Nurminen (1985), Stat. Med. 4, 213-226.
    """
    check_rate("alpha", alpha)
    problem, used = _checked(control_n, control_successes, treatment_n, treatment_successes, sided, relative, test)
    p_c, p_t = control_successes / control_n, treatment_successes / treatment_n
    estimate = p_t - p_c
    if relative:
        estimate = p_t / p_c - 1.0 if control_successes else float("nan")
    p_value = problem.p_value(1.0 if relative else 0.0, refine=True) if used == "barnard" else problem.conditional(used)
    if used != "barnard" or np.isnan(estimate):
        return ExactResult(estimate, float("nan"), float("nan"), p_value, used)
    low, high = problem.interval(alpha, p_value)
    return ExactResult(estimate, low, high, p_value, used)


def exact_p_value(
    control_n: int,
    control_successes: int,
    treatment_n: int,
    treatment_successes: int,
    *,
    sided: Sided = "two",
    test: ExactTest = "auto",
) -> tuple[float, str]:
    """The p-value of `exact_proportions` and the name of its test, without the interval, which costs far more."""
    problem, used = _checked(control_n, control_successes, treatment_n, treatment_successes, sided, False, test)
    return (problem.p_value(0.0, refine=True) if used == "barnard" else problem.conditional(used)), used


def _checked(
    n_c: int, x_c: int, n_t: int, x_t: int, sided: Sided, relative: bool, test: ExactTest
) -> tuple[_Barnard, ExactTest]:
    check_sided(sided)
    if test not in EXACT_TESTS:
        raise InvalidInput("test", f"found {test!r}; must be one of {', '.join(EXACT_TESTS)}")
    for field, n, x in (("control", n_c, x_c), ("treatment", n_t, x_t)):
        if n < 1 or not 0 <= x <= n:
            raise InvalidInput(field, f"found {x} successes of {n}; must be 0 to n, n at least 1")
    if test == "auto":
        test = "barnard" if (n_c + 1) * (n_t + 1) <= BARNARD_TABLES else "fisher"
    return _Barnard(n_c, x_c, n_t, x_t, sided, relative), test


class _Barnard:
    """Unconditional test of p_t - p_c = null, or p_t / p_c = null, by enumerating all tables."""

    def __init__(self, n_c: int, x_c: int, n_t: int, x_t: int, sided: Sided, relative: bool) -> None:
        self.n_c, self.x_c, self.n_t, self.x_t, self.sided, self.relative = n_c, x_c, n_t, x_t, sided, relative

    # Made when they are needed: Fisher's test is for counts too large for them.
    @cached_property
    def c(self) -> FloatArray:
        return np.arange(self.n_c + 1)[:, None] / self.n_c

    @cached_property
    def t(self) -> FloatArray:
        return np.arange(self.n_t + 1)[None, :] / self.n_t

    @cached_property
    def log_choose(self) -> tuple[FloatArray, FloatArray]:
        return _log_choose(self.n_c), _log_choose(self.n_t)

    def conditional(self, test: ExactTest) -> float:
        """The p-value of Fisher's or Boschloo's test."""
        table = np.array([[self.x_t, self.x_c], [self.n_t - self.x_t, self.n_c - self.x_c]])
        alternative = "two-sided" if self.sided == "two" else self.sided
        function = scipy.stats.fisher_exact if test == "fisher" else scipy.stats.boschloo_exact
        return min(float(function(table, alternative=alternative).pvalue), 1.0)

    def p_value(self, null: float, *, refine: bool = False) -> float:
        z = self._score(null)
        observed = z[self.x_c, self.x_t]
        slack = 1e-9 * (1.0 + abs(observed))
        if self.sided == "two":
            extreme = np.abs(z) >= abs(observed) - slack
        else:
            extreme = z >= observed - slack if self.sided == "greater" else z <= observed + slack
        region = extreme.astype(np.float64)
        bottom, top = self._nuisance_range(null)
        grid = bottom + (top - bottom) * (_GRID if refine else _COARSE)
        values = self._probability(grid, null, region)
        best = float(values.max())
        if refine:
            peaks = np.flatnonzero((values[1:-1] >= values[:-2]) & (values[1:-1] >= values[2:])) + 1
            peaks = peaks[values[peaks] > 0.9 * best]
            low, high = grid[peaks - 1], grid[peaks + 1]
            # All peaks at once; each round looks at an eighth of the last, and a maximum is flat: five give 12 digits.
            for _ in range(5 if peaks.size else 0):
                points = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, 17)
                found = self._probability(points.ravel(), null, region).reshape(points.shape)
                best = max(best, float(found.max()))
                at = np.clip(found.argmax(axis=1), 1, 15)[:, None]
                low, high = (np.take_along_axis(points, at + side, axis=1)[:, 0] for side in (-1, 1))
        return min(best, 1.0)

    def interval(self, alpha: float, p_at_zero: float) -> tuple[float, float]:
        # work on the line of differences, or of R/(1 + R) for ratios R, both bounded; `zero` is no effect
        bottom, top, zero = (0.0, 1.0, 0.5) if self.relative else (-1.0, 1.0, 0.0)
        p_c, p_t = self.x_c / self.n_c, self.x_t / self.n_t
        middle = p_t / (p_t + p_c) if self.relative else p_t - p_c
        rejected = p_at_zero < alpha
        if rejected:
            start_low, start_high = (max(bottom, zero) if middle > zero else bottom), (zero if middle < zero else top)
            inner_low = inner_high = middle
        else:
            start_low, start_high = bottom, top
            inner_low, inner_high = min(middle, zero), max(middle, zero)
        low = bottom if self.sided == "less" else self._edge(start_low, inner_low, alpha)
        high = top if self.sided == "greater" else self._edge(start_high, inner_high, alpha)
        low_effect = -np.inf if self.sided == "less" else self._effect(low)
        high_effect = np.inf if self.sided == "greater" else self._effect(high)
        return float(low_effect), float(high_effect)

    def _effect(self, at: float) -> float:
        if not self.relative:
            return at
        return np.inf if at >= 1.0 else at / (1.0 - at) - 1.0

    def _null(self, at: float) -> float:
        return at / (1.0 - at) if self.relative else at

    def _edge(self, outside: float, inside: float, alpha: float) -> float:
        """Where the test turns from rejecting (outside) to not rejecting (inside), by bisection."""
        if outside == inside:
            return inside
        for _ in range(27):
            at = 0.5 * (outside + inside)
            if self.p_value(self._null(at)) < alpha:
                outside = at
            else:
                inside = at
        return outside

    def _nuisance_range(self, null: float) -> tuple[float, float]:
        if self.relative:
            return 0.0, min(1.0, 1.0 / null)
        return max(0.0, -null), min(1.0, 1.0 - null)

    def _probability(self, p_c: FloatArray, null: float, region: FloatArray) -> FloatArray:
        p_t = np.clip(p_c * null if self.relative else p_c + null, 0.0, 1.0)
        of_c, of_t = self.log_choose
        return np.asarray(((_pmf(of_c, p_c) @ region) * _pmf(of_t, p_t)).sum(axis=1))

    def _score(self, null: float) -> FloatArray:
        """Score statistic of every table, shape (n_c + 1, n_t + 1); 0 where the estimate meets the null exactly."""
        c, t = self.c, self.t
        if self.relative:
            gap = t - null * c
            p_c = restricted_ratio(self.n_c, c, self.n_t, t, null)
            p_t = p_c * null
            variance = p_t * (1.0 - p_t) / self.n_t + null**2 * p_c * (1.0 - p_c) / self.n_c
        else:
            gap = t - c - null
            p_c = restricted_difference(self.n_c, c, self.n_t, t, null)
            p_t = p_c + null
            variance = p_t * (1.0 - p_t) / self.n_t + p_c * (1.0 - p_c) / self.n_c
        with np.errstate(all="ignore"):
            z = gap / np.sqrt(np.maximum(variance, 0.0))
        return np.where(np.abs(gap) < 1e-13, 0.0, np.nan_to_num(z, nan=0.0, posinf=1e30, neginf=-1e30))


def restricted_difference(n_c: ArrayLike, c: FloatArray, n_t: ArrayLike, t: FloatArray, d: ArrayLike) -> FloatArray:
    """Most likely p_c when p_t = p_c + d: Farrington and Manning (1990), Stat. Med. 9, 1447-1454, appendix.

    Args: shares c, t of n_c, n_t and the difference d, of shapes that fit together.
    """
    n_c, n_t, d = (np.asarray(a, dtype=np.float64) for a in (n_c, n_t, d))
    pooled = np.asarray((n_c * c + n_t * t) / (n_c + n_t))
    if not np.any(d):
        return pooled
    theta = n_c / n_t
    a = 1.0 + theta
    b = -(1.0 + theta + t + theta * c + d * (theta + 2.0))
    k = d * d + d * (2.0 * t + theta + 1.0) + t + theta * c
    e = -t * d * (1.0 + d)
    v = b * b * b / (3.0 * a) ** 3 - b * k / (6.0 * a * a) + e / (2.0 * a)
    u = np.where(v >= 0.0, 1.0, -1.0) * np.sqrt(np.maximum(b * b / (9.0 * a * a) - k / (3.0 * a), 0.0))
    with np.errstate(all="ignore"):
        angle = (np.pi + np.arccos(np.clip(np.where(u == 0.0, 0.0, v / (u * u * u)), -1.0, 1.0))) / 3.0
    p_t = 2.0 * u * np.cos(angle) - b / (3.0 * a)
    return np.where(d == 0.0, pooled, np.clip(p_t - d, np.maximum(0.0, -d), np.minimum(1.0, 1.0 - d)))


def restricted_ratio(n_c: ArrayLike, c: FloatArray, n_t: ArrayLike, t: FloatArray, r: ArrayLike) -> FloatArray:
    """Most likely p_c when p_t = r p_c: the smaller root of a quadratic, Miettinen and Nurminen (1985), eq. 9.

    Args: shares c, t of n_c, n_t and the ratio r > 0, of shapes that fit together.
    """
    n_c, n_t, r = (np.asarray(a, dtype=np.float64) for a in (n_c, n_t, r))
    n = n_c + n_t
    a = n * r
    b = -(n_t * r + n_t * t + n_c + n_c * c * r)
    k = n_t * t + n_c * c
    return np.clip((-b - np.sqrt(np.maximum(b * b - 4.0 * a * k, 0.0))) / (2.0 * a), 0.0, np.minimum(1.0, 1.0 / r))


def _log_choose(n: int) -> FloatArray:
    x = np.arange(n + 1)
    return np.asarray(special.gammaln(n + 1) - special.gammaln(x + 1) - special.gammaln(n - x + 1))


def _pmf(log_choose: FloatArray, p: FloatArray) -> FloatArray:
    """Binomial probabilities, shape (len(p), n + 1)."""
    n = len(log_choose) - 1
    x = np.arange(n + 1)
    # A power of 0 is 1, of something next to 0 all but 0: so logarithms of p are enough, one a row.
    log_p, log_q = np.log(np.maximum(p, 1e-300)), np.where(p < 1.0, np.log1p(-np.minimum(p, 1.0 - 1e-16)), -690.0)
    return np.exp(log_choose + x * log_p[:, None] + (n - x) * log_q[:, None])
