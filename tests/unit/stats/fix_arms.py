"""Samples and their sums, as the tests of the statistics package need them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neonblue_stats import JointMoments, Moments


@dataclass(frozen=True)
class Arm:
    """Users of one variant: metric y, covariate x (before exposure), denominator d, its history e."""

    y: np.ndarray
    x: np.ndarray
    d: np.ndarray
    e: np.ndarray

    @property
    def n(self) -> int:
        return len(self.y)

    @property
    def moments(self) -> Moments:
        return Moments(self.n, self.y.mean(), self.y.var(ddof=1))

    def joint(self, *names: str) -> JointMoments:
        """JointMoments of the named columns, shape () per entry."""
        columns = [getattr(self, name) for name in names]
        products = [[float((a * b).sum()) for b in columns] for a in columns]
        return JointMoments.from_sums(self.n, [float(c.sum()) for c in columns], products)

    @property
    def sums(self) -> dict[str, float]:
        return {"n": self.n, "sum": float(self.y.sum()), "sum_squares": float((self.y**2).sum())}


def arm(seed: int, n: int, lift: float = 0.0) -> Arm:
    """Users with skewed values, a history that predicts them, and one to several orders each."""
    rng = np.random.default_rng(seed)
    x = rng.gamma(2.0, 2.0, n)
    e = 1.0 + rng.poisson(2.0, n)
    d = e + rng.poisson(1.0, n)
    y = (1.0 + lift) * (0.8 * x + rng.gamma(2.0, 1.5, n) + 0.5 * d)
    return Arm(y, x, d, e)


def many(seed: int, k: int) -> tuple[Moments, Moments]:
    """k comparisons with all sorts of sizes, means and variances."""
    rng = np.random.default_rng(seed)

    def side() -> Moments:
        return Moments(
            rng.integers(2, 10_000, k), rng.normal(3.0, 2.0, k), rng.gamma(2.0, 1.0, k) * 10.0 ** rng.integers(-3, 4, k)
        )

    return side(), side()
