"""Puts results by dimension and over time together, from rows of ClickHouse. No I/O here."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from neonblue_api.models.results import Effect, Interval
from neonblue_api.models.segments import (
    Dimension,
    HistoryPoint,
    SegmentedMetric,
    SegmentedResults,
    SegmentResult,
    SegmentSplit,
)
from neonblue_api.results import EFFECT, INTERVAL, named, number

Row = dict[str, Any]


def assemble(key: str, wanted: str, rows: Sequence[Row], dimensions: Sequence[Row]) -> SegmentedResults:
    """The results by dimension.

    Args:
        wanted: the dimension that was asked for, '' for all.
        rows: sql/read/experiment_segments.sql. dimensions: sql/read/experiment_dimensions.sql.
    """
    overall = {(row["dimension"], row["metric"], row["variant"]): row for row in dimensions}
    found = [_dimension(name, list(of_one), overall) for name, of_one in groupby(rows, key=lambda r: r["dimension"])]
    warnings = sorted({row["warning"] for row in [*rows, *dimensions] if row["warning"]})
    if not found:
        what = f"dimension {wanted!r} has no results" if wanted else "there are no results by dimension"
        warnings.append(
            f"{what}: dimensions are device and browser of events, and attributes given with assignments, with at most "
            "100 values; they are computed with the results"
        )
    return SegmentedResults(
        experiment=key, as_of=max((row["cutoff_at"] for row in rows), default=None), dimensions=found, warnings=warnings
    )


def point(row: Row) -> HistoryPoint:
    """A row of sql/read/experiment_history.sql."""
    return HistoryPoint(
        as_of=row["cutoff_at"],
        metric=row["metric"],
        variant=row["variant"],
        users=row["users"],
        mean=number(row["mean"]),
        absolute=Effect(**named(row, "abs", EFFECT)),
        relative=Effect(**named(row, "rel", EFFECT)),
        sequential=Interval(**named(row, "seq_rel", INTERVAL)),
        adjusted_p_value=number(row["adjusted_p_value"]),
        decisive_p_value=number(row["decisive_p_value"]),
        power=number(row["power"]),
    )


def _dimension(name: str, rows: list[Row], overall: dict[tuple[str, str, str], Row]) -> Dimension:
    controls = {(row["metric"], row["segment"]): row for row in rows if row["is_control"]}
    treated = sorted((row for row in rows if not row["is_control"]), key=lambda row: (row["metric"], row["variant"]))
    order = {metric: place for place, metric in enumerate(dict.fromkeys(row["metric"] for row in rows))}
    metrics = [
        _metric(list(of_one), controls, overall.get((name, metric, variant), {}))
        for (metric, variant), of_one in groupby(treated, key=lambda row: (row["metric"], row["variant"]))
    ]
    known = [row["known_before"] for place, row in overall.items() if place[0] == name]
    return Dimension(
        dimension=name,
        known_before=known[0] if known else None,
        sample_ratio=_splits(rows),
        metrics=sorted(metrics, key=lambda metric: order[metric.metric]),
    )


def _metric(rows: list[Row], controls: dict[tuple[str, str], Row], overall: Row) -> SegmentedMetric:
    metric = rows[0]["metric"]
    return SegmentedMetric(
        metric=metric,
        variant=rows[0]["variant"],
        segments=[_segment(row, controls.get((metric, row["segment"]), {})) for row in rows],
        interaction_p_value=number(overall.get("interaction_p_value")),
        interaction_adjusted_p_value=number(overall.get("interaction_adjusted_p_value")),
        differs=bool(overall.get("differs", False)),
        stratified_absolute=Effect(**named(overall, "strat_abs", EFFECT)),
        stratified_relative=Effect(**named(overall, "strat_rel", EFFECT)),
        stratified_variance_removed=number(overall.get("strat_variance_removed")),
    )


def _segment(row: Row, control: Row) -> SegmentResult:
    return SegmentResult(
        segment=row["segment"],
        control_users=control.get("users"),
        users=row["users"],
        control_mean=number(control.get("mean")),
        mean=number(row["mean"]),
        absolute=Effect(**named(row, "abs", EFFECT)),
        relative=Effect(**named(row, "rel", EFFECT)),
        sequential=Interval(**named(row, "seq_rel", INTERVAL)),
        adjusted_p_value=number(row["adjusted_p_value"]),
    )


def _splits(rows: list[Row]) -> list[SegmentSplit]:
    """The split of each segment; users of the metric with the most, as a window leaves some out."""
    splits: dict[str, SegmentSplit] = {}
    for row in rows:
        split = splits.setdefault(
            row["segment"],
            SegmentSplit(
                segment=row["segment"],
                counts={},
                p_value=number(row["sample_ratio_p_value"]),
                mismatch=row["sample_ratio_mismatch"],
            ),
        )
        split.counts[row["variant"]] = max(row["users"], split.counts.get(row["variant"], 0))
    return list(splits.values())
