"""Sufficient statistics: count, mean and variance of one variable, made from sums without losing digits, and merged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .effect import FloatArray

# A centred sum of squares smaller than this part of the raw one holds no digit: both are only known to 2**-53.
LOST_DIGITS = 1e-14


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean and variance of one variable in k groups.

    Attributes:
        n: units (users), shape (k,).
        mean: in the metric's unit, shape (k,).
        var: in that unit squared, divisor n - 1, shape (k,). nan for fewer than two units.

    >>> print(Moments.from_sums(4, 10.0, 30.0).var.round(4))
    1.6667
    """

    n: FloatArray
    mean: FloatArray
    var: FloatArray

    def __init__(self, n: ArrayLike, mean: ArrayLike, var: ArrayLike) -> None:
        for name, value in (("n", n), ("mean", mean), ("var", var)):
            object.__setattr__(self, name, np.asarray(value, dtype=np.float64))

    @classmethod
    def from_sums(cls, n: ArrayLike, total: ArrayLike, sum_squares: ArrayLike, shift: ArrayLike = 0.0) -> Moments:
        """From n, the sum and the sum of squares of (x - shift); arrays of shape (k,).

            mean = shift + total/n      var = (sum_squares - total²/n) / (n - 1)

        The subtraction cancels when the mean is far from 0: 1e9 with a deviation of 1 leaves no digit at all. Any
        `shift` near the mean (a typical value, the same for all rows of a group) keeps them. Where less than
        LOST_DIGITS of the sum of squares is left, var is nan, not 0: it cannot be told. All x equal gives var 0
        where the subtraction is exactly 0.
        """
        n_, s, ss = (np.asarray(a, dtype=np.float64) for a in (n, total, sum_squares))
        with np.errstate(all="ignore"):
            mean = s / n_
            centred = ss - s * mean
            lost = (centred != 0.0) & (centred < LOST_DIGITS * np.abs(ss))
            var = np.where(lost | (n_ < 2.0), np.nan, centred / (n_ - 1.0))
            return cls(n_, np.where(n_ > 0.0, mean + np.asarray(shift, dtype=np.float64), np.nan), var)

    @classmethod
    def from_centred(cls, n: ArrayLike, mean: ArrayLike, centred_sum_squares: ArrayLike) -> Moments:
        """From n, the mean and the sum of (x - mean)²; arrays of shape (k,). Loses no digit."""
        n_ = np.asarray(n, dtype=np.float64)
        with np.errstate(all="ignore"):
            var = np.where(n_ < 2.0, np.nan, np.asarray(centred_sum_squares, dtype=np.float64) / (n_ - 1.0))
        return cls(n_, mean, var)

    @classmethod
    def from_proportion(cls, n: ArrayLike, successes: ArrayLike) -> Moments:
        """From n and the number of ones; shape (k,). var = p (1 - p) n / (n - 1)."""
        n_ = np.asarray(n, dtype=np.float64)
        with np.errstate(all="ignore"):
            p = np.asarray(successes, dtype=np.float64) / n_
            return cls(n_, p, np.where(n_ < 2.0, np.nan, p * (1.0 - p) * n_ / (n_ - 1.0)))

    @property
    def variance_of_mean(self) -> FloatArray:
        """var / n, shape (k,)."""
        with np.errstate(all="ignore"):
            return np.asarray(self.var / self.n)

    def __add__(self, other: Moments) -> Moments:
        """The two samples as one, row by row. Associative up to rounding; a group of n = 0 changes nothing.

        Source: Chan, Golub and LeVeque (1979), Updating formulae and a pairwise algorithm for computing sample
        variances, STAN-CS-79-773, eq. 1.5.
        """
        with np.errstate(all="ignore"):
            n = self.n + other.n
            share = np.where(n > 0.0, other.n / n, 0.0)
            delta = _no_data_is_zero(other.n, other.mean) - _no_data_is_zero(self.n, self.mean)
            mean = np.where(
                self.n > 0.0,
                _no_data_is_zero(self.n, self.mean) + np.where(other.n > 0.0, delta * share, 0.0),
                other.mean,
            )
            between = np.where((self.n > 0.0) & (other.n > 0.0), delta * delta * self.n * share, 0.0)
            centred = self._centred() + other._centred() + between
            return Moments(n, mean, np.where(n < 2.0, np.nan, centred / (n - 1.0)))

    def _centred(self) -> FloatArray:
        return np.where(self.n < 2.0, 0.0, self.var * (self.n - 1.0))


def _no_data_is_zero(n: FloatArray, mean: FloatArray) -> FloatArray:
    return np.where(n > 0.0, mean, 0.0)
