"""Effects of all experiments at once: sufficient statistics in, rows of results and quality out. No I/O."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from neonblue_stats import Effect, Moments, relative_lift, sample_ratio, two_proportion_z, welch

Row = dict[str, Any]
KINDS = ("proportion", "mean")
RESULT_COLUMNS = [
    *(
        "experiment_id",
        "cutoff_at",
        "metric",
        "position",
        "kind",
        "direction",
        "role",
        "variant_id",
        "variant",
        "is_control",
    ),
    *("users", "sum", "mean", "abs_estimate", "abs_low", "abs_high", "abs_p_value"),
    *("rel_estimate", "rel_low", "rel_high", "rel_p_value"),
]
QUALITY_COLUMNS = [
    *("experiment_id", "cutoff_at", "counts", "sample_ratio_p_value", "sample_ratio_mismatch", "warnings"),
]


def results(cells: Sequence[Row]) -> list[list[Any]]:
    """A row per cell of sufficient_statistics that has a metric, in RESULT_COLUMNS; undefined figures are None.

    Each variant is compared with its experiment's control; all comparisons of a kind are one vectorised call.
    """
    measured = [cell for cell in cells if cell["metric"]]
    control_of = {(c["experiment_id"], c["metric"]): c for c in measured if c["is_control"]}
    effects: dict[int, tuple[Row, Row]] = {}
    for kind in KINDS:
        pairs = [
            (i, control_of[cell["experiment_id"], cell["metric"]])
            for i, cell in enumerate(measured)
            if cell["kind"] == kind and not cell["is_control"] and (cell["experiment_id"], cell["metric"]) in control_of
        ]
        if pairs:
            control = _moments([control for _, control in pairs])
            treatment = _moments([measured[i] for i, _ in pairs])
            absolute = two_proportion_z(control, treatment) if kind == "proportion" else welch(control, treatment)
            relative = relative_lift(control, treatment, normal=kind == "proportion")
            for row, (i, _) in enumerate(pairs):
                effects[i] = (_figures(absolute, row), _figures(relative, row))
    nothing: tuple[Row, Row] = ({}, {})
    return [_result(cell, *effects.get(i, nothing)) for i, cell in enumerate(measured)]


def quality(cells: Sequence[Row]) -> list[list[Any]]:
    """A row per experiment, in QUALITY_COLUMNS: users per variant against the planned split, and warnings."""
    experiments = [list(of_one) for _, of_one in groupby(cells, key=lambda cell: cell["experiment_id"])]
    splits = [list({cell["variant_id"]: cell for cell in of_one}.values()) for of_one in experiments]
    if not splits:
        return []
    width = max(len(split) for split in splits)
    counts = np.full((len(splits), width), np.nan)
    weights = np.zeros((len(splits), width))
    for i, split in enumerate(splits):
        counts[i, : len(split)] = [cell["users"] for cell in split]
        weights[i, : len(split)] = [cell["weight"] for cell in split]
    ratio = sample_ratio(counts, weights)
    rows = []
    for i, (of_one, split) in enumerate(zip(experiments, splits, strict=True)):
        p_value = _finite(ratio.p_value[i])
        mismatch = bool(ratio.mismatch[i])
        users = {cell["variant"]: int(cell["users"]) for cell in split}
        warnings = list(_warnings(of_one, split, p_value if mismatch else None))
        rows.append([of_one[0]["experiment_id"], of_one[0]["cutoff_at"], users, p_value, mismatch, warnings])
    return rows


def _warnings(cells: list[Row], split: list[Row], mismatch_p_value: float | None) -> Iterator[str]:
    if len(split) < 2:
        yield f"{len(split)} variant: there is nothing to compare"
    if not any(cell["is_control"] for cell in split):
        yield "no variant is marked as control: effects have no base"
    if not any(cell["users"] for cell in split):
        yield "no users assigned yet"
    if mismatch_p_value is not None:
        yield f"sample ratio mismatch (p = {mismatch_p_value:.2g}): the split is not as planned, effects may be biased"
    if not any(cell["metric"] for cell in cells):
        yield "no metrics: add one to see effects"
    for metric, of_one in groupby((cell for cell in cells if cell["metric"]), key=lambda cell: cell["metric"]):
        variants = list(of_one)
        if variants[0]["kind"] not in KINDS:
            yield f"metric {metric}: kind '{variants[0]['kind']}' is not computed; known kinds: {', '.join(KINDS)}"
        elif not any(cell["active"] for cell in variants):
            yield f"metric {metric}: never measured, no event of its type counts yet"
        elif not all(
            _finite(cell["sum"]) is not None and _finite(cell["centred_squares"]) is not None
            for cell in variants
            if cell["users"]
        ):
            yield f"metric {metric}: values too large to add up in a float; its figures are left out"
        if variants[0]["definition"] not in ("", "{}"):
            yield f"metric {metric}: the fields {variants[0]['definition']} of its definition are not applied"


def _moments(cells: list[Row]) -> Moments:
    return Moments.from_centred(
        [cell["users"] for cell in cells], [cell["mean"] for cell in cells], [cell["centred_squares"] for cell in cells]
    )


def _figures(effect: Effect, row: int) -> Row:
    return {name: _finite(getattr(effect, name)[row]) for name in ("estimate", "low", "high", "p_value")}


def _result(cell: Row, absolute: Row, relative: Row) -> list[Any]:
    known = cell["kind"] in KINDS and cell["users"] > 0
    names = ("estimate", "low", "high", "p_value")
    return [
        cell["experiment_id"],
        cell["cutoff_at"],
        cell["metric"],
        cell["metric_position"] * 1000 + cell["variant_position"],
        *(cell[name] for name in ("kind", "direction", "role", "variant_id", "variant", "is_control", "users")),
        _finite(cell["sum"]) if known else None,
        _finite(cell["mean"]) if known else None,
        *(absolute.get(name) for name in names),
        *(relative.get(name) for name in names),
    ]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
