"""Answers to questions about a whole experiment: its split, its many p-values, its size, its looks."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import planning
from ..errors import InvalidInput
from ..group_sequential import boundaries
from ..multiplicity import adjust, interval_alpha
from ..sample_ratio import MISMATCH_P_VALUE, sample_ratio
from ..sample_ratio_exact import sample_ratio_anytime, sample_ratio_auto, sample_ratio_exact
from .request import Multiplicity, Power, SampleRatio, SampleSize, SpendingPlan

Reply = dict[str, Any]


def answer_sample_ratio(request: SampleRatio) -> Reply:
    """p_value of the split against the plan, and which test gave it."""
    counts, weights = _split(request)
    warnings = []
    test = {"fixed": "chi_square", "exact": "exact", "confidence_sequence": "anytime"}.get(request.method, "")
    if request.method == "auto":
        result, exact = sample_ratio_auto(counts, weights)
        test = "exact" if exact else "chi_square"
        if exact:
            warnings.append("a variant expects fewer than 5 users, so the exact test is used")
    elif request.method == "exact":
        result = sample_ratio_exact(counts, weights)
    elif request.method == "confidence_sequence":
        result = sample_ratio_anytime(counts, weights)
    else:
        result = sample_ratio(counts, weights)
    p = float(result.p_value)
    if np.isnan(p):
        why = "there are no users" if sum(counts) == 0 else "there is only one variant"
        warnings.append(f"p_value is null: {why}, so there is no split to check")
    if result.mismatch:
        warnings.append(
            f"sample ratio mismatch: p is below {MISMATCH_P_VALUE}; do not trust the experiment's results until the "
            "cause is found"
        )
    return {
        "id": request.id,
        "kind": request.kind,
        "test": test,
        "p_value": p,
        "mismatch": bool(result.mismatch),
        "n": sum(counts),
        "warnings": warnings,
    }


def _split(request: SampleRatio) -> tuple[list[int], list[float]]:
    counts, weights = request.counts, request.weights
    if not counts:
        raise InvalidInput("counts", "found none; must hold one count for each variant")
    if isinstance(counts, dict):
        if weights is None:
            return list(counts.values()), [1.0] * len(counts)
        if not isinstance(weights, dict) or weights.keys() != counts.keys():
            raise InvalidInput("weights", f"must name the same variants as counts: {', '.join(counts)}")
        return list(counts.values()), [weights[key] for key in counts]
    if weights is None:
        return counts, [1.0] * len(counts)
    if isinstance(weights, dict) or len(weights) != len(counts):
        raise InvalidInput("weights", f"found {len(weights)}; must be a list of {len(counts)}, one for each count")
    return counts, weights


def answer_multiplicity(request: Multiplicity) -> Reply:
    """Adjusted p-values in the order given, and the level of each interval that agrees with them."""
    p = np.array([np.nan if value is None else value for value in request.p_values], dtype=np.float64)
    adjusted = adjust(p, request.method)
    levels = interval_alpha(p, request.method, request.alpha)
    warnings = []
    if np.isnan(p).any():
        warnings.append("null p-values stay null and do not count as hypotheses")
    return {
        "id": request.id,
        "kind": request.kind,
        "method": request.method,
        "adjusted_p_values": adjusted.tolist(),
        "rejected": [None if np.isnan(a) else bool(a < request.alpha) for a in adjusted],
        "interval_alphas": levels.tolist(),
        "warnings": warnings,
    }


def answer_plan(request: SampleSize | Power) -> Reply:
    """n, mde and power: two of them from the third."""
    metric: planning.Metric = "proportion" if request.metric == "proportion" else "mean"
    relative = request.effect == "relative"
    common: dict[str, Any] = {
        "metric": metric,
        "relative": relative,
        "alpha": request.alpha,
        "sided": request.sided,
        "variants": request.variants,
        "comparisons": request.variants - 1 if request.correction == "bonferroni" else 1,
        "variance_reduction": request.variance_reduction,
        "sequential_tuning_n": request.tuning_n if request.method == "confidence_sequence" else None,
    }
    warnings: list[str] = []
    n = float("nan") if request.n is None else float(request.n)
    if isinstance(request, SampleSize) and request.effect_size is not None:
        n = float(
            planning.sample_size(request.mean, request.effect_size, request.variance, power=request.power, **common)
        )
    achieved = mde = float("nan")
    if np.isfinite(n):
        mde = float(
            planning.minimum_detectable_effect(n, request.mean, request.variance, power=request.power, **common)
        )
        if request.effect_size is not None:
            achieved = float(planning.power(n, request.mean, request.effect_size, request.variance, **common))
    _explain(request, n, mde, achieved, warnings)
    return {
        "id": request.id,
        "kind": request.kind,
        "n": int(n) if np.isfinite(n) else float("nan"),
        "n_per_variant": n / request.variants if np.isfinite(n) else float("nan"),
        "mde": mde,
        "power": achieved,
        "warnings": warnings,
    }


def _explain(request: SampleSize | Power, n: float, mde: float, achieved: float, warnings: list[str]) -> None:
    relative = request.effect == "relative"
    if relative and request.mean == 0.0:
        warnings.append("the mean is 0, so relative effects are undefined: ask for effect 'absolute'")
    elif request.effect_size == 0.0 and not np.isfinite(n):
        warnings.append("n is null: no number of users finds an effect of 0")
    elif request.effect_size is not None and request.metric == "proportion" and np.isnan(achieved):
        warnings.append("n and power are null: the effect would take the proportion outside 0..1")
    elif not np.isfinite(n):
        warnings.append(f"n is null: the effect points away from the side that is tested ({request.sided!r})")
    if request.effect_size is None:
        warnings.append("power is null: no effect_size is given")
    if np.isnan(mde) and np.isfinite(n) and not (relative and request.mean == 0.0):
        warnings.append("mde is null: no effect that keeps the proportion inside 0..1 is found by so few users")
    if request.variants > 2 and request.correction == "none":
        warnings.append(
            f"alpha is that of each of {request.variants - 1} comparisons; correction 'bonferroni' keeps it for all"
        )


def answer_spending(request: SpendingPlan) -> Reply:
    """z values that stop the test at each look (two-sided unless `sided` says otherwise), and alpha spent so far."""
    result = boundaries(request.looks, request.alpha, request.spending, sided=request.sided)
    warnings = []
    for look, z in zip(request.looks, result.z, strict=True):
        if np.isinf(z):
            warnings.append(
                f"the boundary at look {look:g} is null: next to no alpha is spent there, so it never stops"
            )
    if request.looks[-1] < 1.0:
        warnings.append(f"the last look is at {request.looks[-1]:g} of the final information: alpha is not all spent")
    return {
        "id": request.id,
        "kind": request.kind,
        "boundaries": result.z.tolist(),
        "alpha_spent": result.spent.tolist(),
        "warnings": warnings,
    }
