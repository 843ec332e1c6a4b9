"""From comparisons to adjusted p-values and a decision for each treatment, with its reasons in plain words. No I/O."""

import json
import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neonblue_pipeline.comparisons import Comparison, finite
from neonblue_stats import MetricResult, Trust, adjust, confidence_sequence, decide, interval_alpha, power_so_far

ALPHA = 0.05
# The chance of any false alarm in an experiment stays below ALPHA, whatever the dependence between its metrics.
METHOD: Literal["holm"] = "holm"
# A guardrail without `margin` in its definition may lose this share of the control's mean.
DEFAULT_MARGIN = 0.01

Decision = dict[str, Any]


def judge(comparisons: Sequence[Comparison], trust: dict[int, Trust]) -> dict[int, list[Decision]]:
    """Fills in the adjusted p-values of the comparisons; returns experiment → decisions, one a treatment.

    The family is an experiment's target and secondary metrics × treatments. Decisions read confidence sequences at the
    level that Holm leaves to each, so they may be read at any time; guardrails keep the level of 5 %.

    Args:
        trust: experiment → what the checks of its data found.
    """
    if not comparisons:
        return {}
    fixed = _column(c.figures["abs_p_value"] for c in comparisons)
    sequential = _column(c.figures[f"seq_{_unit(c)}_p_value"] for c in comparisons)
    rows, columns = _places(comparisons)
    shape = (rows.max() + 1, columns.max() + 1)
    counted = np.zeros(shape, dtype=bool)
    counted[rows, columns] = [c.cell["role"] != "guardrail" for c in comparisons]
    levels = np.full(len(comparisons), ALPHA)
    for name, p_values in (("adjusted_p_value", fixed), ("seq_adjusted_p_value", sequential)):
        families = np.full(shape, np.nan)
        families[rows, columns] = p_values
        adjusted = adjust(families, METHOD, include=counted)[rows, columns]
        for comparison, p_value in zip(comparisons, adjusted, strict=True):
            comparison.figures[name] = finite(p_value) if comparison.cell["role"] != "guardrail" else None
        levels = interval_alpha(families, METHOD, ALPHA, include=counted)[rows, columns]
    low, high = _intervals(comparisons, levels)
    measured = [
        (c.cell["experiment_id"], c.cell["variant_position"], c.cell["variant"], _metric(c, low[i], high[i]))
        for i, c in enumerate(comparisons)
    ]
    decisions: dict[int, list[Decision]] = {}
    for (experiment, _, variant), of_one in groupby(sorted(measured, key=lambda m: m[:3]), key=lambda m: m[:3]):
        made = decide([metric for *_, metric in of_one], trust.get(experiment))
        decisions.setdefault(experiment, []).append({"variant": variant, **made._asdict()})
    return decisions


def margin(definition: dict[str, Any]) -> float:
    """The loss that is tolerated of a guardrail, as a share of the control's mean."""
    return abs(_number(definition.get("margin"), DEFAULT_MARGIN))


def _metric(comparison: Comparison, low: float, high: float) -> MetricResult:
    cell, relative = comparison.cell, _unit(comparison) == "rel"
    definition = json.loads(cell["definition"] or "{}")
    estimate, standard_error = comparison.relative if relative else comparison.absolute
    worth = _number(definition.get("minimum_effect"), math.nan) if relative else math.nan
    return MetricResult(
        name=cell["metric"],
        role=cell["role"],
        direction=cell["direction"],
        estimate=estimate,
        low=low,
        high=high,
        margin=margin(definition) if relative and cell["role"] == "guardrail" else 0.0,
        mde=None if math.isnan(worth) else abs(worth),
        power=float(power_so_far(standard_error, abs(worth))),
        relative=relative,
    )


def _unit(comparison: Comparison) -> str:
    """Decisions speak of lifts; where the control's mean is 0 there is none, and the plain difference decides."""
    return "abs" if math.isnan(comparison.relative[0]) else "rel"


def _intervals(
    comparisons: Sequence[Comparison], levels: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Confidence sequences, each at its own level; a call for each level that occurs."""
    chosen = [c.relative if _unit(c) == "rel" else c.absolute for c in comparisons]
    estimate, standard_error = np.array(chosen, dtype=np.float64).T
    n = np.array([c.n for c in comparisons])
    low, high = np.full((2, len(comparisons)), np.nan)
    for level in np.unique(levels[np.isfinite(levels)]):
        at = levels == level
        effect = confidence_sequence(estimate[at], standard_error[at], n[at], float(level))
        low[at], high[at] = effect.low, effect.high
    return low, high


def _places(comparisons: Sequence[Comparison]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row (experiment) and column of each comparison in a matrix with a row an experiment."""
    rows: dict[int, int] = {}
    filled: dict[int, int] = {}
    places = []
    for comparison in comparisons:
        row = rows.setdefault(comparison.cell["experiment_id"], len(rows))
        places.append((row, filled.setdefault(row, 0)))
        filled[row] += 1
    row_of, column_of = np.array(places, dtype=np.intp).T
    return row_of, column_of


def _column(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _number(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise
