"""From comparisons to adjusted p-values and a decision for each treatment, with its reasons in plain words. No I/O."""

import json
import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neonblue_pipeline.comparisons import Comparison, finite
from neonblue_stats import (
    MetricResult,
    Midway,
    Trust,
    adjust,
    confidence_sequence,
    days_left,
    decide,
    interval_alpha,
    midway,
)
from neonblue_stats.anytime import DEFAULT_TUNING_N

ALPHA = 0.05
# The chance of any false alarm in an experiment stays below ALPHA, whatever the dependence between its metrics.
METHOD: Literal["holm"] = "holm"
# A guardrail without `margin` in its definition may lose this share of the control's mean.
DEFAULT_MARGIN = 0.01

Decision = dict[str, Any]


class Arrivals(NamedTuple):
    """Users of an experiment so far, and users a day of late; 0 a day once it has ended."""

    users: float
    per_day: float


class Reading(NamedTuple):
    """One comparison as decisions read it; nan where undefined.

    low, high: the confidence sequence at the level that Holm leaves. power, detectable, users_needed: as Midway, of
    this sequence at this level. worth: the effect worth finding.
    """

    low: float
    high: float
    power: float
    detectable: float
    users_needed: float
    worth: float


def judge(
    comparisons: Sequence[Comparison], trust: dict[int, Trust], arrivals: dict[int, Arrivals] | None = None
) -> dict[int, list[Decision]]:
    """Fills in adjusted p-values and planning of the comparisons; returns experiment → decisions, one a treatment.

    The family is an experiment's target and secondary metrics × treatments. Decisions read confidence sequences at the
    level that Holm leaves to each, so they may be read at any time; guardrails keep the level of 5 %. Where users have
    a history of the metric the sequence is that of the CUPED estimate: history is fixed before the assignment, so the
    choice says nothing about the effect.

    Args:
        trust: experiment → what the checks of its data found.
        arrivals: experiment → how fast users come; without it days left are not told.
    """
    if not comparisons:
        return {}
    rows, columns = _places(comparisons)
    shape = (rows.max() + 1, columns.max() + 1)
    counted = np.zeros(shape, dtype=bool)
    counted[rows, columns] = [c.cell["role"] != "guardrail" for c in comparisons]
    levels = np.full(len(comparisons), ALPHA)
    for name, p_values in (
        ("adjusted_p_value", _column(c.figures["abs_p_value"] for c in comparisons)),
        ("seq_adjusted_p_value", _column(c.figures[f"seq_{_unit(c)}_p_value"] for c in comparisons)),
        ("decisive_p_value", _column(c.figures[f"{_decisive(c)}_p_value"] for c in comparisons)),
    ):
        families = np.full(shape, np.nan)
        families[rows, columns] = p_values
        adjusted = adjust(families, METHOD, include=counted)[rows, columns]
        for comparison, p_value in zip(comparisons, adjusted, strict=True):
            comparison.figures[name] = finite(p_value) if comparison.cell["role"] != "guardrail" else None
        levels = interval_alpha(families, METHOD, ALPHA, include=counted)[rows, columns]
    read = _readings(comparisons, levels)
    decisions: dict[int, list[Decision]] = {}
    measured = [
        (c.cell["experiment_id"], c.cell["variant_position"], c.cell["variant"], i) for i, c in enumerate(comparisons)
    ]
    for (experiment, _, variant), of_one in groupby(sorted(measured), key=lambda m: m[:3]):
        metrics = [_metric(comparisons[i], read[i]) for *_, i in of_one]
        decisions.setdefault(experiment, []).append(
            {"variant": variant, **decide(metrics, trust.get(experiment))._asdict()}
        )
    for comparison, reading in zip(comparisons, read, strict=True):
        _plan(comparison, reading, (arrivals or {}).get(comparison.cell["experiment_id"]))
    return decisions


def margin(definition: dict[str, Any]) -> float:
    """The loss that is tolerated of a guardrail, as a share of the control's mean."""
    return abs(_number(definition.get("margin"), DEFAULT_MARGIN))


def _metric(comparison: Comparison, reading: Reading) -> MetricResult:
    cell, relative = comparison.cell, _unit(comparison) == "rel"
    return MetricResult(
        name=cell["metric"],
        role=cell["role"],
        direction=cell["direction"],
        estimate=_estimate(comparison)[0],
        low=reading.low,
        high=reading.high,
        margin=margin(_definition(comparison)) if relative and cell["role"] == "guardrail" else 0.0,
        mde=None if math.isnan(reading.worth) else reading.worth,
        power=reading.power,
        relative=relative,
    )


def _plan(comparison: Comparison, reading: Reading, arrivals: Arrivals | None) -> None:
    """Power reached and what is missing, in the unit of the decision, beside the other figures."""
    days = math.nan
    if arrivals is not None and not math.isnan(reading.users_needed):
        window = _definition(comparison).get("window")
        # Users count once their window is over.
        wait = _number(window.get("to_days"), 0.0) if isinstance(window, dict) else 0.0
        waiting = wait if reading.users_needed > comparison.n else 0.0
        pair = comparison.cell["assigned"] + comparison.control["assigned"]
        share = pair / arrivals.users if arrivals.users else 0.0
        days = float(days_left(reading.users_needed, pair, arrivals.per_day * share)) + waiting
    comparison.figures.update(
        {
            "minimum_effect": finite(reading.worth),
            "power": finite(reading.power),
            "detectable_effect": finite(reading.detectable) if _unit(comparison) == "rel" else None,
            "users_needed": finite(reading.users_needed),
            "days_left": finite(days),
        }
    )


def _unit(comparison: Comparison) -> str:
    """Decisions speak of lifts; where the control's mean is 0 there is none, and the plain difference decides."""
    return "abs" if math.isnan(comparison.relative[0]) else "rel"


def _decisive(comparison: Comparison) -> str:
    """Columns of the sequence that decides: that of the CUPED estimate wherever there is one."""
    unit = _unit(comparison)
    return f"seq_{unit}" if comparison.figures[f"cuped_seq_{unit}_p_value"] is None else f"cuped_seq_{unit}"


def _estimate(comparison: Comparison) -> tuple[float, float]:
    """Estimate and standard error that decide."""
    relative, adjusted = _unit(comparison) == "rel", _decisive(comparison).startswith("cuped")
    if adjusted:
        return comparison.adjusted_relative if relative else comparison.adjusted_absolute
    return comparison.relative if relative else comparison.absolute


def _definition(comparison: Comparison) -> dict[str, Any]:
    found = json.loads(comparison.cell["definition"] or "{}")
    return found if isinstance(found, dict) else {}


def _readings(comparisons: Sequence[Comparison], levels: NDArray[np.float64]) -> list[Reading]:
    """Confidence sequence, power and users needed of each, at its own level; a call for each level that occurs."""
    estimate, standard_error = np.array([_estimate(c) for c in comparisons], dtype=np.float64).T
    n = np.array([c.n for c in comparisons])
    worth = np.array(
        [
            abs(_number(_definition(c).get("minimum_effect"), math.nan)) if _unit(c) == "rel" else math.nan
            for c in comparisons
        ]
    )
    found = np.full((5, len(comparisons)), np.nan)
    for level in np.unique(levels[np.isfinite(levels)]):
        at = levels == level
        effect = confidence_sequence(estimate[at], standard_error[at], n[at], float(level))
        plan: Midway = midway(
            standard_error[at], n[at], worth[at], alpha=float(level), sequential_tuning_n=DEFAULT_TUNING_N
        )
        found[:, at] = effect.low, effect.high, *plan
    return [Reading(*(float(value) for value in (*found[:, i], worth[i]))) for i in range(len(comparisons))]


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
