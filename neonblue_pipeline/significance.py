"""Results and quality of all experiments at once: sufficient statistics in, rows of ClickHouse tables out. No I/O."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from neonblue_pipeline.comparisons import Comparison, Row, compare
from neonblue_pipeline.data_quality import Split, audit_warnings, crossed_share, split_warnings, splits
from neonblue_pipeline.metric_definitions import problems
from neonblue_pipeline.metric_kinds import KIND_COLUMNS, KINDS, finite, kind_values, kind_warnings
from neonblue_pipeline.verdicts import METHOD, Arrivals, Decision, judge
from neonblue_stats import Trust, adjust
from neonblue_stats.trust import IMBALANCE_P_VALUE

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
    *("cuped_seq_abs_low", "cuped_seq_abs_high", "cuped_seq_abs_p_value"),
    *("cuped_seq_rel_low", "cuped_seq_rel_high", "cuped_seq_rel_p_value", "decisive_p_value", "pre_period_p_value"),
    *("minimum_effect", "power", "detectable_effect", "users_needed", "days_left"),
)
RESULT_COLUMNS = [*_CELL_COLUMNS, *KIND_COLUMNS, *FIGURES]
QUALITY_COLUMNS = [
    *("experiment_id", "cutoff_at", "counts", "sample_ratio_p_value", "sample_ratio_mismatch", "warnings", "decisions"),
    *("sample_ratio_anytime_p_value", "phases", "crossed_users", "crossed_share"),
]


class Experiment(NamedTuple):
    """One experiment: its cells, one of them for each variant, its split, and what else is known of its data."""

    cells: list[Row]
    variants: list[Row]
    split: Split
    audit: Row | None

    @property
    def id(self) -> int:
        return int(self.cells[0]["experiment_id"])


def analyse(
    cells: Sequence[Row],
    phases: Sequence[Row] = (),
    audits: Sequence[Row] = (),
) -> tuple[list[list[Any]], list[list[Any]]]:
    """Rows for experiment_results (RESULT_COLUMNS) and experiment_quality (QUALITY_COLUMNS).

    Args:
        cells: rows of sufficient_statistics, in its order. Every experiment has one a metric and variant; an experiment
            without metrics one a variant, with an empty metric. Undefined figures become None.
        phases: rows of assignments_by_phase; an experiment without any is held against its present weights.
        audits: rows of assignment_audit; an experiment without one has no warnings of its users and events.
    """
    experiments = _experiments(cells, phases, audits)
    comparisons = compare(cells)
    early = _early_differences(comparisons)
    trust = {
        x.id: Trust(
            sample_ratio_p_value=x.split.p_value,
            crossed_share=crossed_share(x.audit) if x.audit else None,
            pre_period_imbalanced=bool(early.get(x.id)),
        )
        for x in experiments
    }
    arrivals = {
        x.id: Arrivals(x.audit["assigned"], 0.0 if x.audit["ended"] else x.audit["recent"] / x.audit["recent_days"])
        for x in experiments
        if x.audit
    }
    decisions = judge(comparisons, trust, arrivals)
    compared = {comparison.at: comparison for comparison in comparisons}
    results = [_result(cell, compared.get(i)) for i, cell in enumerate(cells) if cell["metric"]]
    return results, [_quality(x, decisions.get(x.id, []), early.get(x.id, [])) for x in experiments]


def _experiments(cells: Sequence[Row], phases: Sequence[Row], audits: Sequence[Row]) -> list[Experiment]:
    by_experiment = [list(of_one) for _, of_one in groupby(cells, key=lambda cell: cell["experiment_id"])]
    variants = [list({cell["variant_id"]: cell for cell in of_one}.values()) for of_one in by_experiment]
    told = {row["experiment_id"] for row in phases}
    present = [
        {
            "experiment_id": of_one[0]["experiment_id"],
            **{"dimension": "", "segment": "", "phase": 0},
            "weights": {cell["variant"]: cell["weight"] for cell in of_one},
            "users": {cell["variant"]: int(cell["assigned"]) for cell in of_one},
        }
        for of_one in variants
        if of_one[0]["experiment_id"] not in told
    ]
    split_of = splits([row for row in phases if not row["dimension"]] + present)
    audit_of = {audit["experiment_id"]: audit for audit in audits}
    return [
        Experiment(of_one, each, split_of[x, "", ""], audit_of.get(x))
        for of_one, each in zip(by_experiment, variants, strict=True)
        for x in (of_one[0]["experiment_id"],)
    ]


def _quality(x: Experiment, decisions: list[Decision], early: list[str]) -> list[Any]:
    users = {cell["variant"]: int(cell["assigned"]) for cell in x.variants}
    made = [(d["variant"], d["verdict"], list(d["reasons"]), list(d["would_change"])) for d in decisions]
    return [
        x.id,
        x.cells[0]["cutoff_at"],
        users,
        x.split.p_value,
        x.split.mismatch,
        [*_warnings(x), *early],
        made,
        x.split.anytime_p_value,
        [tuple(phase) for phase in x.split.phases if phase.phase],
        x.audit["crossed"] if x.audit else 0,
        crossed_share(x.audit) if x.audit else None,
    ]


def _early_differences(comparisons: Sequence[Comparison]) -> dict[int, list[str]]:
    """Experiment → warnings of variants that differed before the start, by Holm over its metrics × treatments."""
    found: dict[int, list[str]] = {}
    for experiment, of_one in groupby(comparisons, key=lambda c: int(c.cell["experiment_id"])):
        family = list(of_one)
        p_values = [np.nan if (p := c.figures["pre_period_p_value"]) is None else p for c in family]
        found[experiment] = [
            f"metric {c.cell['metric']}: {c.cell['variant']} differed from {c.control['variant']} already in the "
            f"14 days before the start (p = {p_value:.2g}, adjusted)"
            for c, p_value in zip(family, adjust(p_values, METHOD), strict=True)
            if p_value < IMBALANCE_P_VALUE
        ]
    return found


def _warnings(x: Experiment) -> Iterator[str]:
    cells, variants = x.cells, x.variants
    if len(variants) < 2:
        yield f"{len(variants)} variant: there is nothing to compare"
    if not any(cell["is_control"] for cell in variants):
        yield "no variant is marked as control: effects have no base"
    if not any(cell["assigned"] for cell in variants):
        yield "no users assigned yet"
    yield from split_warnings(x.split)
    if x.audit:
        yield from audit_warnings(x.audit)
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
    else:
        yield from (f"metric {metric}: {sentence}" for sentence in kind_warnings(cells))
    if waiting := sum(cell["assigned"] - cell["users"] for cell in cells):
        assigned = sum(cell["assigned"] for cell in cells)
        yield f"metric {metric}: {waiting:,} of {assigned:,} users are not compared yet, their window is still open"
    for problem in problems(cells[0]["kind"], cells[0]["definition"]):
        yield f"metric {metric}: {problem}"


def _result(cell: Row, comparison: Comparison | None) -> list[Any]:
    figures = comparison.figures if comparison else {}
    test = comparison.test if comparison and figures["abs_p_value"] is not None else None
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
        *kind_values(cell, test, comparison.steps if comparison else ()),
        *(figures.get(name) for name in FIGURES),
    ]
