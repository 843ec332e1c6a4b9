"""Each treatment against its control, by every method, all experiments in one vectorised call a method. No I/O."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neonblue_stats import (
    Effect,
    Moments,
    confidence_sequence,
    gaussian_posterior,
    relative_lift,
    two_proportion_z,
    welch,
)

Row = dict[str, Any]
KINDS = ("proportion", "mean")
_EFFECT = ("estimate", "low", "high", "p_value")
_INTERVAL = ("low", "high", "p_value")
_POSTERIOR = ("low", "high", "chance_to_win", "expected_loss")


class Comparison(NamedTuple):
    """One treatment of one metric against control.

    Attributes:
        at: place of the treatment's cell. cell, control: rows of sufficient_statistics.
        figures: column of experiment_results → value; None where undefined.
        absolute, relative: (estimate, standard error) in the metric's unit and as a fraction of the control; nan
            where undefined.
        n: users of both variants together.
    """

    at: int
    cell: Row
    control: Row
    figures: dict[str, float | None]
    absolute: tuple[float, float]
    relative: tuple[float, float]
    n: float


def compare(cells: Sequence[Row]) -> list[Comparison]:
    """Every treatment whose metric is of a known kind and whose experiment has a control, in the order of the cells."""
    control_of = {(c["experiment_id"], c["metric"]): c for c in cells if c["metric"] and c["is_control"]}
    found: list[Comparison] = []
    for kind in KINDS:
        pairs = [
            (i, cell, control_of[cell["experiment_id"], cell["metric"]])
            for i, cell in enumerate(cells)
            if cell["kind"] == kind and not cell["is_control"] and (cell["experiment_id"], cell["metric"]) in control_of
        ]
        if pairs:
            found += _compared(kind, pairs)
    return sorted(found, key=lambda comparison: comparison.at)


def _compared(kind: str, pairs: list[tuple[int, Row, Row]]) -> Iterator[Comparison]:
    treated, controls = [cell for _, cell, _ in pairs], [control for _, _, control in pairs]
    control, treatment = moments(controls), moments(treated)
    proportions = kind == "proportion"
    effects = {
        "abs": two_proportion_z(control, treatment) if proportions else welch(control, treatment),
        "rel": relative_lift(control, treatment, normal=proportions),
    }
    n = control.n + treatment.n
    higher_is_better = np.array([cell["direction"] == "increase" for cell in treated])
    columns: dict[str, NDArray[np.float64]] = {}
    for unit, effect in effects.items():
        # Where nothing varies there is no interval; the estimate stands alone.
        columns |= _named(unit, _EFFECT, effect)
        columns |= _named(f"seq_{unit}", _INTERVAL, confidence_sequence(effect.estimate, effect.standard_error, n))
        posterior = gaussian_posterior(effect.estimate, effect.standard_error, higher_is_better=higher_is_better)
        columns |= _named(f"bayes_{unit}", _POSTERIOR, posterior)
    for row, (index, cell, base) in enumerate(pairs):
        yield Comparison(
            index,
            cell,
            base,
            {name: finite(values[row]) for name, values in columns.items()},
            _estimate(effects["abs"], row),
            _estimate(effects["rel"], row),
            float(n[row]),
        )


def moments(cells: Sequence[Row]) -> Moments:
    """The metric of cells of sufficient_statistics; arrays of one entry a cell."""
    return Moments.from_centred(
        [cell["users"] for cell in cells], [cell["mean"] for cell in cells], [cell["centred_squares"] for cell in cells]
    )


def finite(value: float) -> float | None:
    """nan and infinity mean that a figure is not defined."""
    return float(value) if np.isfinite(value) else None


def _named(prefix: str, names: Sequence[str], result: Any) -> dict[str, NDArray[np.float64]]:
    return {f"{prefix}_{name}": getattr(result, name) for name in names}


def _estimate(effect: Effect, row: int) -> tuple[float, float]:
    return float(effect.estimate[row]), float(effect.standard_error[row])
