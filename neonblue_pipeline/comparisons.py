"""Each treatment against its control, by every method, all experiments in one vectorised call a method. No I/O."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neonblue_pipeline.metric_kinds import KINDS, YES_OR_NO, Row, Step, base_of_lift, effects, finite, funnel_steps
from neonblue_stats import (
    Contrast,
    Effect,
    JointMoments,
    Moments,
    confidence_sequence,
    cuped,
    gaussian_posterior,
    lift_sequence,
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
        relative: lift and its standard error (delta method), as fractions of the control; nan where undefined.
        contrast: difference and base that decide, plain. adjusted: the same by CUPED; nan without history.
        n: users of both variants together.
        imbalanced: whether the variants differed in this metric before the assignment.
        test: what gave the fixed p-value: z, welch, delta, quantile, barnard or fisher.
        steps: of a funnel, the effect on each of its steps.
    """

    at: int
    cell: Row
    control: Row
    figures: dict[str, float | None]
    relative: tuple[float, float]
    contrast: Contrast
    adjusted: Contrast
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
    contrast = _contrast(found["abs"], base_of_lift(kind, control, controls, treated))
    for unit, effect in found.items():
        # Where nothing varies there is no interval; the estimate stands alone.
        columns |= _named(unit, _EFFECT, effect)
        posterior = gaussian_posterior(effect.estimate, effect.standard_error, higher_is_better=higher_is_better)
        columns |= _named(f"bayes_{unit}", _POSTERIOR, posterior)
    # A lift above 0 is a difference above 0: one event, one probability.
    columns["bayes_rel_chance_to_win"] = np.where(
        np.isnan(found["rel"].estimate), np.nan, columns["bayes_abs_chance_to_win"]
    )
    columns |= _sequences("seq", contrast, n)
    by_history, adjusted, columns["cuped_variance_removed"] = _with_history(kind, controls, treated)
    for unit, effect in by_history.items():
        columns |= _named(f"cuped_{unit}", _EFFECT, effect)
    columns |= _sequences("cuped_seq", adjusted, n)
    imbalance = pre_period_imbalance(_joint(controls, "x").variable(0), _joint(treated, "x").variable(0))
    columns["pre_period_p_value"] = imbalance.p_value
    for row, (index, cell, base) in enumerate(pairs):
        yield Comparison(
            index,
            cell,
            base,
            {name: finite(values[row]) for name, values in columns.items()},
            (float(found["rel"].estimate[row]), float(found["rel"].standard_error[row])),
            Contrast(*(values[row] for values in contrast)),
            Contrast(*(values[row] for values in adjusted)),
            float(n[row]),
            bool(imbalance.imbalanced[row]),
            tests[row],
            steps[row],
        )


def _contrast(difference: Effect, base: tuple[NDArray[np.float64], NDArray[np.float64]]) -> Contrast:
    mean, variance = base
    with np.errstate(all="ignore"):
        return Contrast(difference.estimate, difference.standard_error**2, mean, variance, -variance)


def _sequences(prefix: str, contrast: Contrast, n: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    with np.errstate(all="ignore"):
        absolute = confidence_sequence(contrast.difference, np.sqrt(contrast.variance), n)
    return _named(f"{prefix}_abs", _INTERVAL, absolute) | _named(f"{prefix}_rel", _INTERVAL, lift_sequence(contrast, n))


def _with_history(
    kind: str, controls: list[Row], treated: list[Row]
) -> tuple[dict[str, Effect], Contrast, NDArray[np.float64]]:
    """The effects by CUPED, what their sequences are made of, and the variance removed; all nan where no user of a
    variant did anything before, and for a quantile, which no covariate of a mean serves.
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
    contrast = Contrast(*(np.where(usable, values, np.nan) for values in found["abs"].contrast))
    return effects, contrast, np.where(usable, found["abs"].variance_reduction, np.nan)


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
