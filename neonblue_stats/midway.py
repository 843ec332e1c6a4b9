"""In the middle of an experiment: power reached, the effect that would show, and the users still needed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .effect import FloatArray
from .errors import check_rate
from .planning import critical_value, ncp_for, power_at, users_for_sequence


class Midway(NamedTuple):
    """Where a running comparison stands; fields of shape (k,).

    Attributes:
        power: probability that it shows an effect of the size that is worth finding, with the users so far.
        detectable_effect: the smallest effect shown with the wanted power by the users so far, in the estimate's unit.
        users_needed: users of both variants together for the wanted power; inf for an effect of 0.
    """

    power: FloatArray
    detectable_effect: FloatArray
    users_needed: FloatArray


def midway(
    standard_error: ArrayLike,
    n: ArrayLike,
    effect_size: ArrayLike,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    sequential_tuning_n: float | None = None,
    tuning_alpha: float | None = None,
) -> Midway:
    """Two-sided, by the normal law, from the standard error that the data show; shape (k,).

        power = Φ(δ/se - q) + Φ(-δ/se - q)      detectable = λ se      users: n with power(δ/(se √(n_now/n))) = power

    Args:
        standard_error: of the running comparison; with CUPED, of the adjusted one. It falls with the root of the users.
        n: users of both variants so far, shape (k,).
        effect_size: the effect worth finding, in the same unit, never the estimate; nan where nobody said.
        sequential_tuning_n: for a confidence sequence: q is its boundary at n (power at one look at n; continuous
            looks can only find more). None: fixed. tuning_alpha: as of that sequence.
    Returns: Midway; nan where the standard error is 0 or nan, or effect_size is nan (detectable_effect needs none).
    Agrees with: gbstats MidExperimentPower (fixed, flat prior); sample_size with the variance n se²/4.
    """
    check_rate("power", power)
    check_rate("alpha", alpha)
    se, users, effect = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (standard_error, n, effect_size))
    )
    with np.errstate(all="ignore"):
        usable = np.where(np.isfinite(se) & (se > 0.0) & (users > 0.0), se, np.nan)
        q = critical_value(users, alpha, "two", sequential_tuning_n, tuning_alpha)
        reached = power_at(np.abs(effect) / usable, np.broadcast_to(q, se.shape), "two")
        wanted = np.vectorize(lambda c: ncp_for(power, float(c), "two"), otypes=[np.float64])(q)
        if sequential_tuning_n is None:
            needed = users * (wanted * usable / np.abs(effect)) ** 2
        else:
            variance = usable**2 * users / 2.0
            each = users_for_sequence(np.abs(effect), variance, power, alpha, "two", sequential_tuning_n, tuning_alpha)
            needed = np.where(np.isnan(effect), np.nan, 2.0 * each)
        # a hair off the ceiling, so that rounding in the last digit never asks for one more user
        return Midway(reached, np.asarray(wanted * usable), np.ceil(needed * (1.0 - 1e-12)))
