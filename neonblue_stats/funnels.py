"""Metrics counted along a user's way: steps of a funnel, retention, conversion within a window."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .effect import FloatArray
from .errors import InvalidInput
from .joint import JointMoments
from .moments import Moments


class FunnelStep(NamedTuple):
    """One step of one funnel, in k variants.

    Attributes:
        of_all: users who reached the step, of all users: Moments of a proportion. This is the one to decide on: the
            users compared are those that were assigned.
        of_previous: users who reached it, of those who reached the step before, as (numerator, denominator) for
            ratio_difference and ratio_lift. The treatment has already chosen who is in the denominator, so a rise
            here may be a loss before; it explains, it does not decide.
    """

    of_all: Moments
    of_previous: JointMoments


def funnel(users: ArrayLike, reached: ArrayLike) -> list[FunnelStep]:
    """Steps of a funnel from counts.

    Args:
        users: shape (k,), users of each variant. reached: shape (steps, k), users who did steps 1..s in order.
    Errors: InvalidInput where more users reach a step than the one before.
    """
    n = np.asarray(users, dtype=np.float64)
    counts = np.asarray(reached, dtype=np.float64)
    before = n
    steps = []
    for s, count in enumerate(counts):
        if np.any(count > before) or np.any(count < 0.0):
            raise InvalidInput("reached", f"step {s + 1} has more users than the step before it (or fewer than 0)")
        steps.append(FunnelStep(Moments.from_proportion(n, count), _nested(n, count, before)))
        before = count
    return steps


def _nested(n: FloatArray, count: FloatArray, before: FloatArray) -> JointMoments:
    """Joint moments of two 0/1 variables of which the first implies the second."""
    with np.errstate(all="ignore"):
        p, q = count / n, before / n
        scale = np.where(n < 2.0, np.nan, n / (n - 1.0))
        cov = np.array([[p * (1.0 - p), p * (1.0 - q)], [p * (1.0 - q), q * (1.0 - q)]]) * scale
        return JointMoments(n, np.array([p, q]), cov)


def observed_long_enough(start: ArrayLike, cutoff: ArrayLike, window: ArrayLike) -> np.ndarray:
    """Users whose window is over, shape (m,) of booleans: the denominator of retention and of windowed conversion.

        start + window <= cutoff

    A user whose window is still open has not failed to convert or return yet; counting him as a failure pulls both
    variants down, and unevenly when one of them got its users later. All in the same unit of time (seconds, days).
    """
    return np.asarray(np.asarray(start) + np.asarray(window) <= np.asarray(cutoff))


def within_window(start: ArrayLike, at: ArrayLike, window_from: float, window_to: float) -> np.ndarray:
    """Events that count, shape (m,) of booleans: window_from <= at - start < window_to, in one unit of time.

    Retention on day 7 is [7 days, 8 days) after the assignment, a conversion window of 3 days is [0, 3 days).
    """
    if not window_from < window_to:
        raise InvalidInput("window_to", f"found {window_to}; must be above window_from {window_from}")
    since = np.asarray(at) - np.asarray(start)
    return np.asarray((since >= window_from) & (since < window_to))
