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
    Contrast,
    MetricResult,
    Midway,
    Trust,
    adjust,
    confidence_sequence,
    days_left,
    decide,
    interval_alpha,
    lift_sequence,
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

    relative: whether effects are fractions of the control; else, where its mean cannot be told from 0, differences.
    estimate, low, high: the confidence sequence at the level that Holm leaves. power, detectable, users_needed: as
    Midway, of that sequence, as fractions. worth: the effect worth finding, a fraction.
    """

    relative: bool
    estimate: float
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
        ("seq_adjusted_p_value", _column(c.figures["seq_abs_p_value"] for c in comparisons)),
        ("decisive_p_value", _column(c.figures[_decisive(c)] for c in comparisons)),
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
    cell = comparison.cell
    unit = 1.0 if reading.relative else abs(float(comparison.contrast.base))
    return MetricResult(
        name=cell["metric"],
        role=cell["role"],
        direction=cell["direction"],
        estimate=reading.estimate,
        low=reading.low,
        high=reading.high,
        margin=margin(_definition(comparison)) if reading.relative and cell["role"] == "guardrail" else 0.0,
        mde=None if math.isnan(reading.worth) else reading.worth * unit,
        power=reading.power,
        relative=reading.relative,
        seen=bool(cell["active"] or comparison.control["active"]),
    )


def _plan(comparison: Comparison, reading: Reading, arrivals: Arrivals | None) -> None:
    """Power reached and what is missing, as shares of the control, beside the other figures."""
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
            "detectable_effect": finite(reading.detectable),
            "users_needed": finite(reading.users_needed),
            "days_left": finite(days),
        }
    )


def _decisive(comparison: Comparison) -> str:
    """Column of the p-value that decides: of the sequence of the CUPED estimate wherever there is one.

    That of a lift is that of its difference.
    """
    return "seq_abs_p_value" if comparison.figures["cuped_seq_abs_p_value"] is None else "cuped_seq_abs_p_value"


def _definition(comparison: Comparison) -> dict[str, Any]:
    found = json.loads(comparison.cell["definition"] or "{}")
    return found if isinstance(found, dict) else {}


def _readings(comparisons: Sequence[Comparison], levels: NDArray[np.float64]) -> list[Reading]:
    """Confidence sequence, power and users needed of each, at its own level; a call for each level that occurs.

    Decisions speak of lifts; where the control's mean cannot be told from 0 there is no interval of one, and the
    difference decides. Both say the same of 0, as their p-values do: all share the ρ of ALPHA.
    """
    deciding = [c.adjusted if _decisive(c).startswith("cuped") else c.contrast for c in comparisons]
    contrast = Contrast(*np.array(deciding, dtype=np.float64).T)
    n = np.array([c.n for c in comparisons])
    size = np.abs(contrast.base)
    worth = np.array([abs(_number(_definition(c).get("minimum_effect"), math.nan)) for c in comparisons])
    with np.errstate(all="ignore"):
        error, share = np.sqrt(contrast.variance), np.sqrt(contrast.variance) / size
    found = np.full((6, len(comparisons)), np.nan)
    relative = size > 0.0
    for level in np.unique(levels[np.isfinite(levels)]):
        at = levels == level
        lift = lift_sequence(Contrast(*(values[at] for values in contrast)), n[at], float(level), tuning_alpha=ALPHA)
        difference = confidence_sequence(contrast.difference[at], error[at], n[at], float(level), tuning_alpha=ALPHA)
        relative[at] &= ~np.isinf(lift.low)
        plan: Midway = midway(
            share[at],
            n[at],
            worth[at],
            alpha=float(level),
            sequential_tuning_n=DEFAULT_TUNING_N,
            tuning_alpha=ALPHA,
        )
        ends = (np.where(relative[at], getattr(lift, f), getattr(difference, f)) for f in ("estimate", "low", "high"))
        found[:, at] = *ends, *plan
    worth = np.where(size > 0.0, worth, np.nan)
    return [
        Reading(bool(relative[i]), *(float(value) for value in (*found[:, i], worth[i])))
        for i in range(len(comparisons))
    ]


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
