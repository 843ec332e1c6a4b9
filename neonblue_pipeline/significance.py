"""Results and quality of all experiments at once: sufficient statistics in, rows of ClickHouse tables out. No I/O."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from neonblue_pipeline.comparisons import KINDS, YES_OR_NO, Row, compare, finite
from neonblue_pipeline.metric_definitions import problems
from neonblue_pipeline.verdicts import Decision, judge
from neonblue_stats import Trust, needs_exact, sample_ratio
from neonblue_stats.exact import SMALL_COUNT

_CELL_COLUMNS = (
    *("experiment_id", "cutoff_at", "metric", "position", "kind", "direction", "role", "variant_id", "variant"),
    *("is_control", "users", "history_users", "sum", "denominator_sum", "mean"),
)
FIGURES = (
    *("abs_estimate", "abs_low", "abs_high", "abs_p_value", "rel_estimate", "rel_low", "rel_high", "rel_p_value"),
    *("seq_abs_low", "seq_abs_high", "seq_abs_p_value", "seq_rel_low", "seq_rel_high", "seq_rel_p_value"),
    *("bayes_abs_low", "bayes_abs_high", "bayes_abs_chance_to_win", "bayes_abs_expected_loss"),
    *("bayes_rel_low", "bayes_rel_high", "bayes_rel_chance_to_win", "bayes_rel_expected_loss"),
    *("adjusted_p_value", "seq_adjusted_p_value"),
    *("cuped_abs_estimate", "cuped_abs_low", "cuped_abs_high", "cuped_abs_p_value"),
    *("cuped_rel_estimate", "cuped_rel_low", "cuped_rel_high", "cuped_rel_p_value", "cuped_variance_removed"),
)
RESULT_COLUMNS = [*_CELL_COLUMNS, *FIGURES]
QUALITY_COLUMNS = [
    *("experiment_id", "cutoff_at", "counts", "sample_ratio_p_value", "sample_ratio_mismatch", "warnings", "decisions"),
]


class Split(NamedTuple):
    """One experiment: its cells, one of them for each variant, and the sample ratio check."""

    cells: list[Row]
    variants: list[Row]
    p_value: float | None
    mismatch: bool


def analyse(cells: Sequence[Row]) -> tuple[list[list[Any]], list[list[Any]]]:
    """Rows for experiment_results (RESULT_COLUMNS) and experiment_quality (QUALITY_COLUMNS).

    Args:
        cells: rows of sufficient_statistics, in its order. Every experiment has one a metric and variant; an experiment
            without metrics one a variant, with an empty metric. Undefined figures become None.
    """
    splits = _splits(cells)
    comparisons = compare(cells)
    imbalanced = {c.cell["experiment_id"] for c in comparisons if c.imbalanced}
    trust = {
        experiment: Trust(sample_ratio_p_value=split.p_value, pre_period_imbalanced=experiment in imbalanced)
        for split in splits
        for experiment in (split.cells[0]["experiment_id"],)
    }
    decisions = judge(comparisons, trust)
    figures = {comparison.at: comparison.figures for comparison in comparisons}
    results = [_result(cell, figures.get(i, {})) for i, cell in enumerate(cells) if cell["metric"]]
    return results, [_quality(split, decisions.get(split.cells[0]["experiment_id"], [])) for split in splits]


def _splits(cells: Sequence[Row]) -> list[Split]:
    experiments = [list(of_one) for _, of_one in groupby(cells, key=lambda cell: cell["experiment_id"])]
    variants = [list({cell["variant_id"]: cell for cell in of_one}.values()) for of_one in experiments]
    if not variants:
        return []
    width = max(len(of_one) for of_one in variants)
    counts = np.full((len(variants), width), np.nan)
    weights = np.zeros((len(variants), width))
    for i, of_one in enumerate(variants):
        counts[i, : len(of_one)] = [cell["assigned"] for cell in of_one]
        weights[i, : len(of_one)] = [cell["weight"] for cell in of_one]
    ratio = sample_ratio(counts, weights)
    return [
        Split(experiments[i], variants[i], finite(ratio.p_value[i]), bool(ratio.mismatch[i]))
        for i in range(len(variants))
    ]


def _quality(split: Split, decisions: list[Decision]) -> list[Any]:
    first = split.cells[0]
    users = {cell["variant"]: int(cell["assigned"]) for cell in split.variants}
    made = [(d["variant"], d["verdict"], list(d["reasons"]), list(d["would_change"])) for d in decisions]
    warnings = list(_warnings(split))
    return [first["experiment_id"], first["cutoff_at"], users, split.p_value, split.mismatch, warnings, made]


def _warnings(split: Split) -> Iterator[str]:
    cells, variants = split.cells, split.variants
    if len(variants) < 2:
        yield f"{len(variants)} variant: there is nothing to compare"
    if not any(cell["is_control"] for cell in variants):
        yield "no variant is marked as control: effects have no base"
    if not any(cell["assigned"] for cell in variants):
        yield "no users assigned yet"
    if split.mismatch:
        yield f"sample ratio mismatch (p = {split.p_value:.2g}): the split is not as planned, effects may be biased"
    if not any(cell["metric"] for cell in cells):
        yield "no metrics: add one to see effects"
    for metric, of_one in groupby((cell for cell in cells if cell["metric"]), key=lambda cell: cell["metric"]):
        yield from _metric_warnings(metric, list(of_one))


def _metric_warnings(metric: str, cells: list[Row]) -> Iterator[str]:
    if cells[0]["kind"] not in KINDS:
        yield f"metric {metric}: kind '{cells[0]['kind']}' is not computed; known kinds: {', '.join(KINDS)}"
    elif not any(cell["active"] for cell in cells):
        yield f"metric {metric}: never measured, no event of its type counts yet"
    elif not all(
        finite(cell["sum"]) is not None and finite(cell["centred_squares"]) is not None
        for cell in cells
        if cell["users"]
    ):
        yield f"metric {metric}: values too large to add up in a float; its figures are left out"
    if cells[0]["kind"] in YES_OR_NO and any(
        needs_exact(base["users"], base["sum"], cell["users"], cell["sum"])
        for base in cells
        if base["is_control"]
        for cell in cells
        if cell is not base and cell["active"] + base["active"]
    ):
        yield f"metric {metric}: fewer than {SMALL_COUNT:g} successes or failures expected; its intervals are rough"
    if waiting := sum(cell["assigned"] - cell["users"] for cell in cells):
        assigned = sum(cell["assigned"] for cell in cells)
        yield f"metric {metric}: {waiting:,} of {assigned:,} users are not compared yet, their window is still open"
    for problem in problems(cells[0]["kind"], cells[0]["definition"]):
        yield f"metric {metric}: {problem}"


def _result(cell: Row, figures: dict[str, float | None]) -> list[Any]:
    known, ratio = cell["kind"] in KINDS and cell["users"] > 0, cell["kind"] == "ratio"
    with np.errstate(all="ignore"):
        mean = np.divide(cell["mean"], cell["d_mean"]) if ratio else cell["mean"]
    return [
        cell["experiment_id"],
        cell["cutoff_at"],
        cell["metric"],
        cell["metric_position"] * 1000 + cell["variant_position"],
        *(cell[name] for name in ("kind", "direction", "role", "variant_id", "variant", "is_control", "users")),
        cell["history_users"] if known else None,
        finite(cell["sum"]) if known else None,
        finite(cell["denominator_sum"]) if known and ratio else None,
        finite(mean) if known else None,
        *(figures.get(name) for name in FIGURES),
    ]
