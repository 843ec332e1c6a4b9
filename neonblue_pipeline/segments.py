"""Results by dimension, of all experiments at once: effects by segment, corrected, and whether they differ. No I/O."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonblue_pipeline.comparisons import Comparison, Row, compare, finite
from neonblue_pipeline.data_quality import splits
from neonblue_pipeline.verdicts import METHOD
from neonblue_stats import Effect, JointMoments, Moments, adjust, by_segment, post_stratify, ratio_moments
from neonblue_stats.sample_ratio import MISMATCH_P_VALUE

# Warned of below this adjusted p-value; not .05, because results are looked at all the time.
DIFFERS_P_VALUE = 0.01
# A lift is compared with those of other segments where the control's mean is known to a quarter at least.
KNOWN_MEAN = 4.0
_HISTORY = dict.fromkeys(("history_users", "x_mean", "z_mean", "xx", "zz", "yx", "yz", "dx", "dz", "xz"), 0.0)
_FIGURES = (
    *("abs_estimate", "abs_low", "abs_high", "abs_p_value", "rel_estimate", "rel_low", "rel_high", "rel_p_value"),
    *("seq_rel_low", "seq_rel_high", "seq_rel_p_value", "adjusted_p_value"),
)
_EFFECT = ("estimate", "low", "high", "p_value")
SEGMENT_COLUMNS = [
    *(
        "experiment_id",
        "cutoff_at",
        "dimension",
        "segment",
        "metric",
        "position",
        "variant_id",
        "variant",
        "is_control",
    ),
    *("users", "sum", "mean", *_FIGURES, "sample_ratio_p_value", "sample_ratio_mismatch", "warning"),
]
DIMENSION_COLUMNS = [
    *("experiment_id", "cutoff_at", "dimension", "metric", "position", "variant_id", "variant", "known_before"),
    *("interaction_p_value", "interaction_adjusted_p_value", "differs"),
    *(f"strat_{unit}_{name}" for unit in ("abs", "rel") for name in _EFFECT),
    *("strat_variance_removed", "warning"),
]
Place = tuple[int, str, str, int]


def analyse_segments(cells: Sequence[Row], phases: Sequence[Row]) -> tuple[list[list[Any]], list[list[Any]]]:
    """Rows for experiment_segments (SEGMENT_COLUMNS) and experiment_dimensions (DIMENSION_COLUMNS).

    The family of the segments' p-values is an experiment's target and secondary metrics × treatments × dimensions ×
    segments; that of the interaction tests its metrics × treatments × dimensions. Both are corrected by Holm.

    Args:
        cells: rows of segment_statistics, in its order.
        phases: rows of assignments_by_phase; those with a dimension are used.
    """
    # To compare() a segment is an experiment of its own.
    alone = [
        {**_HISTORY, **cell, "experiment_id": (cell["experiment_id"], cell["dimension"], cell["segment"])}
        for cell in cells
    ]
    comparisons = compare(alone, exact=False)
    _adjust(comparisons)
    ratios = _sample_ratios(phases)
    figures = {comparison.at: comparison.figures for comparison in comparisons}
    segments = [
        _segment_row(cell, figures.get(i, {}), ratios.get((cell["experiment_id"], cell["dimension"], cell["segment"])))
        for i, cell in enumerate(cells)
    ]
    return segments, _dimensions(cells, comparisons)


def shown(segment: str) -> str:
    """A segment in a sentence."""
    return f"'{segment}'" if segment else "not known"


def _adjust(comparisons: Sequence[Comparison]) -> None:
    """Fills in adjusted_p_value; None for a guardrail."""
    counted = [c for c in comparisons if c.cell["role"] != "guardrail"]
    for c in comparisons:
        c.figures["adjusted_p_value"] = None
    for _, of_one in groupby(sorted(counted, key=_experiment), key=_experiment):
        family = list(of_one)
        p_values = [np.nan if c.figures["abs_p_value"] is None else c.figures["abs_p_value"] for c in family]
        for c, p_value in zip(family, adjust(p_values, METHOD), strict=True):
            c.figures["adjusted_p_value"] = finite(p_value)


def _experiment(comparison: Comparison) -> int:
    return int(comparison.cell["experiment_id"][0])


def _sample_ratios(phases: Sequence[Row]) -> dict[tuple[int, str, str], float | None]:
    """Adjusted p-value of each segment's split, by Holm over an experiment's dimensions × segments."""
    found = splits([row for row in phases if row["dimension"]])
    adjusted: dict[tuple[int, str, str], float | None] = {}
    for _, of_one in groupby(found.items(), key=lambda item: item[0][0]):
        family = list(of_one)
        p_values = [np.nan if split.p_value is None else split.p_value for _, split in family]
        adjusted |= {key: finite(p_value) for (key, _), p_value in zip(family, adjust(p_values, METHOD), strict=True)}
    return adjusted


def _dimensions(cells: Sequence[Row], comparisons: Sequence[Comparison]) -> list[list[Any]]:
    """A row for each experiment × dimension × metric × treatment, with a warning where segments differ."""
    groups: dict[Place, list[Comparison]] = {}
    for c in comparisons:
        experiment, dimension, _ = c.cell["experiment_id"]
        groups.setdefault((experiment, dimension, c.cell["metric"], c.cell["variant_id"]), []).append(c)
    if not groups:
        return []
    places = list(groups)
    interaction = by_segment(_lifts(list(groups.values()))).interaction_p_value
    adjusted = np.full(len(places), np.nan)
    experiments = np.array([place[0] for place in places])
    for experiment in np.unique(experiments):
        adjusted[experiments == experiment] = adjust(interaction[experiments == experiment], METHOD)
    stratified = _stratified(list(groups.values()))
    rows: list[list[Any]] = []
    for i, (place, of_one) in enumerate(groups.items()):
        cell = cells[of_one[0].at]
        differs = bool(adjusted[i] < DIFFERS_P_VALUE)
        rows.append(
            [
                *(place[0], cell["cutoff_at"], cell["dimension"], cell["metric"], _position(cell)),
                *(cell["variant_id"], cell["variant"], cell["known_before"]),
                *(finite(interaction[i]), finite(adjusted[i]), differs),
                *(finite(values[i]) for values in stratified),
                _difference(cell, of_one, float(adjusted[i])) if differs else "",
            ]
        )
    return rows


def _difference(cell: Row, of_one: Sequence[Comparison], p_value: float) -> str:
    usable = [c for c in of_one if _is_known(c)]
    ordered = sorted(usable, key=lambda c: c.relative[0])
    lifts = " to ".join(f"{c.relative[0]:+.1%} ({shown(c.cell['segment'])})" for c in (ordered[0], ordered[-1]))
    return (
        f"metric {cell['metric']}, {cell['variant']}: its lift differs by {cell['dimension']} (p = {p_value:.2g}, "
        f"adjusted), from {lifts}; one number does not describe all users"
    )


def _is_known(comparison: Comparison) -> bool:
    """Whether the lift may be compared with others: where the control's mean could as well be 0, it may not."""
    control = comparison.control
    n = control["users"]
    if not n > 1 or np.isnan(comparison.relative[0]) or not comparison.relative[1] > 0.0:
        return False
    base = Moments(n, control["mean"], control["centred_squares"] / (n - 1))
    if comparison.cell["kind"] == "ratio":
        products = [[control["centred_squares"], control["yd"]], [control["yd"], control["dd"]]]
        base = ratio_moments(JointMoments(n, [control["mean"], control["d_mean"]], np.array(products) / (n - 1)))
    return bool(abs(base.mean) >= KNOWN_MEAN * np.sqrt(base.variance_of_mean))


def _lifts(groups: Sequence[Sequence[Comparison]]) -> Effect:
    """Lifts of shape (segments, groups), nan where there is none to compare."""
    lifts = np.full((2, max(len(of_one) for of_one in groups), len(groups)), np.nan)
    for i, of_one in enumerate(groups):
        for s, c in enumerate(of_one):
            if _is_known(c):
                lifts[:, s, i] = c.relative
    estimate, standard_error = lifts
    undefined = np.full(estimate.shape, np.nan)
    return Effect(estimate, standard_error, undefined, undefined, undefined, np.full(estimate.shape, np.inf))


def _stratified(groups: Sequence[Sequence[Comparison]]) -> list[NDArray[np.float64]]:
    """Columns strat_*: nan for a ratio, and where a variant may have changed the dimension."""
    shape = (max(len(of_one) for of_one in groups), len(groups))
    arms: dict[str, Moments] = {}
    for arm in ("control", "cell"):
        n, mean, squares = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for i, of_one in enumerate(groups):
            for s, c in enumerate(of_one):
                row = getattr(c, arm)
                if row["users"]:
                    n[s, i], mean[s, i], squares[s, i] = row["users"], row["mean"], row["centred_squares"]
        arms[arm] = Moments(n, mean, np.where(n > 1.0, squares / np.maximum(n - 1.0, 1.0), 0.0))
    usable = np.array(
        [of_one[0].cell["known_before"] and of_one[0].cell["kind"] not in ("ratio", "quantile") for of_one in groups]
    )
    columns = []
    removed = np.full(len(groups), np.nan)
    for relative in (False, True):
        found = post_stratify(arms["control"], arms["cell"], relative=relative)
        columns += [np.where(usable, getattr(found.effect, name), np.nan) for name in _EFFECT]
        removed = np.where(usable, found.variance_reduction, np.nan)
    return [*columns, removed]


def _segment_row(cell: Row, figures: dict[str, float | None], sample_ratio_p_value: float | None) -> list[Any]:
    with np.errstate(all="ignore"):
        mean = np.divide(cell["mean"], cell["d_mean"]) if cell["kind"] == "ratio" else cell["mean"]
    some = cell["users"] > 0
    mismatch = sample_ratio_p_value is not None and sample_ratio_p_value < MISMATCH_P_VALUE
    return [
        *(cell[name] for name in ("experiment_id", "cutoff_at", "dimension", "segment", "metric")),
        _position(cell),
        *(cell[name] for name in ("variant_id", "variant", "is_control", "users")),
        finite(cell["sum"]) if some else None,
        finite(mean) if some else None,
        *(figures.get(name) for name in _FIGURES),
        *(sample_ratio_p_value, mismatch),
        f"sample ratio mismatch among users with {cell['dimension']} {shown(cell['segment'])} "
        f"(p = {sample_ratio_p_value:.2g}, adjusted)"
        if mismatch
        else "",
    ]


def _position(cell: Row) -> int:
    return int(cell["metric_position"] * 1000 + cell["variant_position"])
