"""Sufficient statistics of several variables together: count, means and covariances, made from sums and merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .effect import FloatArray
from .errors import InvalidInput
from .moments import LOST_DIGITS, Moments


@dataclass(frozen=True, slots=True)
class JointMoments:
    """Count, means and covariances of d variables of the same units, in k groups.

    The order of the variables is the caller's: (metric, covariate) for CUPED of a mean; (numerator, denominator) for
    a ratio; (numerator, denominator, covariate) or (numerator, denominator, covariate numerator, covariate
    denominator) for CUPED of a ratio.

    Attributes:
        n: units (users), shape (k,).
        mean: shape (d, k).
        cov: divisor n - 1, shape (d, d, k), symmetric. nan for fewer than two units.
    """

    n: FloatArray
    mean: FloatArray
    cov: FloatArray

    def __init__(self, n: ArrayLike, mean: ArrayLike, cov: ArrayLike) -> None:
        for name, value in (("n", n), ("mean", mean), ("cov", cov)):
            object.__setattr__(self, name, np.asarray(value, dtype=np.float64))
        d = self.mean.shape[0] if self.mean.ndim else 0
        if d == 0 or self.cov.shape[:2] != (d, d):
            raise InvalidInput("cov", f"found shape {self.cov.shape} for means of shape {self.mean.shape}; "
                                      "must be (d, d, k) for means of shape (d, k)")  # fmt: skip

    @classmethod
    def from_sums(
        cls, n: ArrayLike, sums: Sequence[ArrayLike], products: Sequence[Sequence[ArrayLike]], shift: ArrayLike = 0.0
    ) -> JointMoments:
        """From n, sums of each variable and sums of products, of variables from which `shift` was taken away.

        Args:
            n: shape (k,).
            sums: d arrays of shape (k,).
            products: d rows of d arrays of shape (k,); only the lower triangle (row >= column) is read, so that rows
                may be given short: [[xx], [xy, yy]].
            shift: shape (d, 1) or (d, k), or one number: see Moments.from_sums.

            mean_i = shift_i + sum_i/n      cov_ij = (product_ij - sum_i sum_j/n) / (n - 1)
        """
        n_ = np.asarray(n, dtype=np.float64)
        s = [np.asarray(x, dtype=np.float64) for x in sums]
        d = len(s)
        shape = np.broadcast_shapes(n_.shape, *(x.shape for x in s))
        cov = np.empty((d, d, *shape))
        mean = np.empty((d, *shape))
        with np.errstate(all="ignore"):
            divisor = np.where(n_ < 2.0, np.nan, n_ - 1.0)
            for i in range(d):
                mean[i] = s[i] / n_
                for j in range(i + 1):
                    product = np.asarray(products[i][j], dtype=np.float64)
                    centred = product - s[i] * mean[j]
                    if i == j:
                        lost = (centred != 0.0) & (centred < LOST_DIGITS * np.abs(product))
                        centred = np.where(lost, np.nan, centred)
                    cov[i, j] = cov[j, i] = centred / divisor
        return cls(n_, mean + np.asarray(shift, dtype=np.float64), cov)

    def variable(self, index: int) -> Moments:
        """One variable alone."""
        return Moments(self.n, self.mean[index], self.cov[index, index])

    def linear(self, coefficients: Sequence[ArrayLike]) -> FloatArray:
        """Variance of a linear combination of the variables, shape (k,); d coefficients of shape (k,)."""
        return self.bilinear(coefficients, coefficients)

    def bilinear(self, left: Sequence[ArrayLike], right: Sequence[ArrayLike]) -> FloatArray:
        """Covariance of two linear combinations of the variables, shape (k,)."""
        total = np.zeros(self.n.shape)
        with np.errstate(all="ignore"):
            for i, a in enumerate(left):
                for j, b in enumerate(right):
                    if not (_is_zero(a) or _is_zero(b)):
                        total = total + np.asarray(a) * np.asarray(b) * self.cov[i, j]
        return total

    def __add__(self, other: JointMoments) -> JointMoments:
        """The two samples as one, row by row; a group of n = 0 changes nothing.

        Source: Chan, Golub and LeVeque (1979), STAN-CS-79-773; for covariances Pébay (2008), SAND2008-6212, eq. 3.11.
        """
        with np.errstate(all="ignore"):
            n = self.n + other.n
            share = np.where(n > 0.0, other.n / n, 0.0)
            left = np.where(self.n > 0.0, self.mean, 0.0)
            right = np.where(other.n > 0.0, other.mean, 0.0)
            both = (self.n > 0.0) & (other.n > 0.0)
            delta = np.where(both, right - left, 0.0)
            mean = np.where(self.n > 0.0, left + delta * share, other.mean)
            between = delta[:, None] * delta[None, :] * (self.n * share)
            centred = self._centred() + other._centred() + between
            return JointMoments(n, mean, np.where(n < 2.0, np.nan, centred / (n - 1.0)))

    def _centred(self) -> FloatArray:
        return np.where(self.n < 2.0, 0.0, self.cov * (self.n - 1.0))


def _is_zero(coefficient: ArrayLike) -> bool:
    return isinstance(coefficient, int) and coefficient == 0
