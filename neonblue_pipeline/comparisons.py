"""Each treatment against its control, by every method, all experiments in one vectorised call a method. No I/O."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neonblue_pipeline.metric_kinds import KINDS, YES_OR_NO, Row, Step, effects, finite, funnel_steps
from neonblue_stats import (
    Effect,
    JointMoments,
    Moments,
    confidence_sequence,
    cuped,
    gaussian_posterior,
    pre_period_imbalance,
    ratio_moments,
)

__all__ = ["KINDS", "YES_OR_NO", "Comparison", "Row", "compare", "finite"]

_MEAN = {"y": "mean", "d": "d_mean", "x": "x_mean", "z": "z_mean"}
_EFFECT = ("estimate", "low", "high", "p_value")
_INTERVAL = ("low", "high", "p_value")
_POSTERIOR = ("low", "high", "chance_to_win", "expected_loss")


class Comparison(NamedTuple):
    """One treatment of one metric against control.

    Attributes:
        at: place of the treatment's cell. cell, control: rows of sufficient_statistics.
        figures: column of experiment_results → value; None where undefined.
        absolute, relative: (estimate, standard error) in the metric's unit and as a fraction of the control; nan
            where undefined. adjusted_absolute, adjusted_relative: the same by CUPED; nan without history.
        n: users of both variants together.
        imbalanced: whether the variants differed in this metric before the assignment.
        test: what gave the fixed p-value: z, welch, delta, quantile, barnard or fisher.
        steps: of a funnel, the effect on each of its steps.
    """

    at: int
    cell: Row
    control: Row
    figures: dict[str, float | None]
    absolute: tuple[float, float]
    relative: tuple[float, float]
    adjusted_absolute: tuple[float, float]
    adjusted_relative: tuple[float, float]
    n: float
    imbalanced: bool
    test: str = ""
    steps: Sequence[Step] = ()


def compare(cells: Sequence[Row], *, exact: bool = True) -> list[Comparison]:
    """Every treatment whose metric is of a known kind and whose experiment has a control, in the order of the cells.

    Args:
        exact: whether small counts get the exact test, a few milliseconds each.
    """
    control_of = {(c["experiment_id"], c["metric"]): c for c in cells if c["metric"] and c["is_control"]}
    found: list[Comparison] = []
    for kind in KINDS:
        pairs = [
            (i, cell, control_of[cell["experiment_id"], cell["metric"]])
            for i, cell in enumerate(cells)
            if cell["kind"] == kind and not cell["is_control"] and (cell["experiment_id"], cell["metric"]) in control_of
        ]
        if pairs:
            found += _compared(kind, pairs, exact)
    return sorted(found, key=lambda comparison: comparison.at)


def _compared(kind: str, pairs: list[tuple[int, Row, Row]], exact: bool) -> Iterator[Comparison]:
    treated, controls = [cell for _, cell, _ in pairs], [control for _, _, control in pairs]
    control, treatment = _moments(kind, controls), _moments(kind, treated)
    found, tests = effects(kind, control, treatment, controls, treated, exact=exact)
    steps = funnel_steps(controls, treated, exact=exact) if kind == "funnel" else [[] for _ in pairs]
    n = control.n + treatment.n
    higher_is_better = np.array([cell["direction"] == "increase" for cell in treated])
    columns: dict[str, NDArray[np.float64]] = {}
    for unit, effect in found.items():
        # Where nothing varies there is no interval; the estimate stands alone.
        columns |= _named(unit, _EFFECT, effect)
        columns |= _named(f"seq_{unit}", _INTERVAL, confidence_sequence(effect.estimate, effect.standard_error, n))
        posterior = gaussian_posterior(effect.estimate, effect.standard_error, higher_is_better=higher_is_better)
        columns |= _named(f"bayes_{unit}", _POSTERIOR, posterior)
    adjusted, columns["cuped_variance_removed"] = _with_history(kind, controls, treated)
    for unit, effect in adjusted.items():
        columns |= _named(f"cuped_{unit}", _EFFECT, effect)
        columns |= _named(
            f"cuped_seq_{unit}", _INTERVAL, confidence_sequence(effect.estimate, effect.standard_error, n)
        )
    imbalance = pre_period_imbalance(_joint(controls, "x").variable(0), _joint(treated, "x").variable(0))
    columns["pre_period_p_value"] = imbalance.p_value
    for row, (index, cell, base) in enumerate(pairs):
        yield Comparison(
            index,
            cell,
            base,
            {name: finite(values[row]) for name, values in columns.items()},
            _estimate(found["abs"], row),
            _estimate(found["rel"], row),
            _estimate(adjusted["abs"], row),
            _estimate(adjusted["rel"], row),
            float(n[row]),
            bool(imbalance.imbalanced[row]),
            tests[row],
            steps[row],
        )


def _with_history(kind: str, controls: list[Row], treated: list[Row]) -> tuple[dict[str, Effect], NDArray[np.float64]]:
    """The effects by CUPED, and the variance removed; all nan where no user of a variant did anything before,
    and for a quantile, which no covariate of a mean serves.
    """
    variables = "ydxz" if kind == "ratio" else "yx"
    control, treatment = _joint(controls, variables), _joint(treated, variables)
    needed = "xz" if kind == "ratio" else "x"
    usable = np.array(
        [
            kind != "quantile" and all(c[f"{v}{v}"] + t[f"{v}{v}"] > 0 for v in needed)
            for c, t in zip(controls, treated, strict=True)
        ]
    )
    found = {
        unit: cuped(control, treatment, relative=unit == "rel", kind="ratio" if kind == "ratio" else "mean")
        for unit in ("abs", "rel")
    }
    effects = {unit: Effect(*(np.where(usable, values, np.nan) for values in by.effect)) for unit, by in found.items()}
    return effects, np.where(usable, found["abs"].variance_reduction, np.nan)


def _moments(kind: str, cells: Sequence[Row]) -> Moments:
    return ratio_moments(_joint(cells, "yd")) if kind == "ratio" else _joint(cells, "y").variable(0)


def _joint(cells: Sequence[Row], variables: str) -> JointMoments:
    """Moments of variables of sufficient_statistics (y metric, d denominator, x, z their history); one entry a cell."""
    n = np.array([cell["users"] for cell in cells], dtype=np.float64)
    with np.errstate(all="ignore"):
        divisor = np.where(n < 2.0, np.nan, n - 1.0)
        cov = [
            [np.array([cell[_product(a, b)] for cell in cells], dtype=np.float64) / divisor for b in variables]
            for a in variables
        ]
    return JointMoments(n, [[cell[_MEAN[v]] for cell in cells] for v in variables], cov)


def _product(a: str, b: str) -> str:
    """Column with the sum of centred products of two variables."""
    first, second = sorted((a, b), key="ydxz".index)
    return "centred_squares" if first == second == "y" else first + second


def _named(prefix: str, names: Sequence[str], result: Any) -> dict[str, NDArray[np.float64]]:
    return {f"{prefix}_{name}": getattr(result, name) for name in names}


def _estimate(effect: Effect, row: int) -> tuple[float, float]:
    return float(effect.estimate[row]), float(effect.standard_error[row])
