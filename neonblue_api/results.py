"""Puts a result together: definitions from PostgreSQL, figures from ClickHouse. No I/O here."""

import math
from collections.abc import Sequence
from typing import Any

from neonblue_api.models.experiments import Experiment
from neonblue_api.models.results import (
    Bayesian,
    Cuped,
    Decision,
    Effect,
    FunnelStep,
    Interval,
    MetricResult,
    PhaseSplit,
    Planning,
    Posterior,
    QuantileOfVariant,
    Results,
    SampleRatio,
    Sequential,
    Summary,
    VariantResult,
    VariantSummary,
)

EFFECT = ("estimate", "low", "high", "p_value")
INTERVAL = ("low", "high", "p_value")
_POSTERIOR = ("low", "high", "chance_to_win", "expected_loss")
_PLANNING = ("minimum_effect", "power", "detectable_effect", "users_needed", "days_left")
_COUNTS = ("users", "unique_users", "exposed_users", "converted_users", "events", "exposures", "clicks", "conversions")


def assemble(
    experiment: Experiment,
    kinds: dict[str, str],
    rows: Sequence[dict[str, Any]],
    quality: dict[str, Any] | None,
) -> Results:
    """The result of an experiment.

    Args:
        kinds: metric → kind, from its definition.
        rows: sql/read/experiment_results.sql, one a metric and variant at the latest cut-off.
        quality: the row of sql/read/experiment_quality.sql, if there is one.
    """
    cells = {(row["metric"], row["variant"]): row for row in rows}
    warnings = _warnings(experiment, cells, quality)
    counts = dict.fromkeys((variant.key for variant in experiment.variants), 0)
    if quality is not None:
        counts |= {key: int(count) for key, count in quality["counts"].items()}
    cutoffs = [row["cutoff_at"] for row in rows] + ([quality["cutoff_at"]] if quality else [])
    return Results(
        experiment=experiment.key,
        status=experiment.status,
        as_of=max(cutoffs, default=None),
        sample_ratio=SampleRatio(
            counts=counts,
            p_value=number(quality["sample_ratio_p_value"]) if quality else None,
            mismatch=bool(quality["sample_ratio_mismatch"]) if quality else None,
            anytime_p_value=number(quality.get("sample_ratio_anytime_p_value")) if quality else None,
            phases=[PhaseSplit(**phase) for phase in quality.get("phases", ())] if quality else [],
            crossed_users=quality.get("crossed_users", 0) if quality else 0,
            crossed_share=number(quality.get("crossed_share")) if quality else None,
        ),
        metrics=[
            MetricResult(
                metric=metric.key,
                kind=kinds[metric.key],
                variants=[
                    _variant(variant.key, variant.is_control, cells.get((metric.key, variant.key)))
                    for variant in sorted(experiment.variants, key=lambda v: not v.is_control)
                ],
                cap=next((number(row.get("cap")) for row in rows if row["metric"] == metric.key), None),
            )
            for metric in experiment.metrics
        ],
        decisions=[Decision(**made) for made in (quality or {}).get("decisions", ())],
        warnings=warnings,
    )


def summarise(experiment: Experiment, rows: Sequence[dict[str, Any]]) -> Summary:
    """The live summary, from the rows of sql/read/experiment_summary.sql; variants without a row have zeros."""
    found = {row["variant_key"]: row for row in rows}
    variants = []
    for variant in sorted(experiment.variants, key=lambda v: not v.is_control):
        row = found.get(variant.key, {})
        counts = {name: int(row.get(name, 0)) for name in _COUNTS}
        variants.append(
            VariantSummary(
                variant=variant.key,
                control=variant.is_control,
                conversion_rate=counts["converted_users"] / counts["users"] if counts["users"] else None,
                value=number(row.get("value")) or 0.0,
                last_event_at=row.get("last_event_at"),
                **counts,
            )
        )
    warnings = [] if found else ["nothing was rolled up yet: the live rollup has not seen this experiment"]
    return Summary(experiment=experiment.key, status=experiment.status, variants=variants, warnings=warnings)


def _variant(key: str, is_control: bool, row: dict[str, Any] | None) -> VariantResult:
    found = row or {}
    result = VariantResult(
        variant=key,
        control=is_control,
        users=found.get("users"),
        history_users=found.get("history_users"),
        sum=number(found.get("sum")),
        denominator_sum=number(found.get("denominator_sum")),
        mean=number(found.get("mean")),
        test=found.get("test"),
    )
    if found.get("quantile_values") is not None:
        figures = {name: number(found.get(f"quantile_{name}")) for name in ("value", "low", "high")}
        result.quantile = QuantileOfVariant(
            quantile=number(found.get("quantile")), n=int(found["quantile_values"]), **figures
        )
    if found.get("funnel"):
        result.funnel = [_step(step, is_control) for step in found["funnel"]]
    if not is_control:
        result.absolute = Effect(**named(found, "abs", EFFECT))
        result.relative = Effect(**named(found, "rel", EFFECT))
        result.adjusted_p_value = number(found.get("adjusted_p_value"))
        result.sequential = Sequential(
            absolute=Interval(**named(found, "seq_abs", INTERVAL)),
            relative=Interval(**named(found, "seq_rel", INTERVAL)),
            adjusted_p_value=number(found.get("seq_adjusted_p_value")),
        )
        result.bayesian = Bayesian(
            absolute=Posterior(**named(found, "bayes_abs", _POSTERIOR)),
            relative=Posterior(**named(found, "bayes_rel", _POSTERIOR)),
        )
        result.cuped = Cuped(
            absolute=Effect(**named(found, "cuped_abs", EFFECT)),
            relative=Effect(**named(found, "cuped_rel", EFFECT)),
            variance_removed=number(found.get("cuped_variance_removed")),
            sequential_absolute=Interval(**named(found, "cuped_seq_abs", INTERVAL)),
            sequential_relative=Interval(**named(found, "cuped_seq_rel", INTERVAL)),
            pre_period_p_value=number(found.get("pre_period_p_value")),
        )
        result.decisive_p_value = number(found.get("decisive_p_value"))
        result.planning = Planning(**{name: number(found.get(name)) for name in _PLANNING})
    return result


def _step(row: dict[str, Any], is_control: bool) -> FunnelStep:
    step = FunnelStep(
        event_type=row["event_type"],
        users=int(row["users"]),
        of_all=number(row["of_all"]),
        of_previous=number(row["of_previous"]),
    )
    if not is_control:
        step.absolute = Effect(**{name: number(row[name]) for name in EFFECT})
        step.absolute_of_previous = Effect(**named(row, "previous", EFFECT))
    return step


def named(row: dict[str, Any], prefix: str, names: Sequence[str]) -> dict[str, float | None]:
    """Columns prefix_name of a row by name."""
    return {name: number(row.get(f"{prefix}_{name}")) for name in names}


def number(value: Any) -> float | None:
    """nan and infinity are no JSON; both mean that the figure is not defined."""
    if value is None or not math.isfinite(value):
        return None
    return float(value)


def _warnings(
    experiment: Experiment, cells: dict[tuple[str, str], dict[str, Any]], quality: dict[str, Any] | None
) -> list[str]:
    warnings = list(quality["warnings"]) if quality else []
    if not experiment.metrics:
        warnings.append("the experiment has no metrics")
    if not experiment.variants:
        warnings.append("the experiment has no variants")
    elif len(experiment.variants) == 1:
        warnings.append("the experiment has a single variant: there is nothing to compare")
    if experiment.status == "draft":
        warnings.append("the experiment has not begun")
    elif not cells and quality is None:
        warnings.append("nothing was measured yet: the significance asset has not seen this experiment")
    else:
        measured = {metric for metric, _ in cells}
        warnings += [f"metric {m.key} was never measured" for m in experiment.metrics if m.key not in measured]
    if experiment.phase > 1:
        warnings.append(f"weights or coverage changed while it ran: this is phase {experiment.phase}")
    return warnings
