"""What is particular to a kind of metric: its test, the parts that results show, what a reader must know. No I/O."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonblue_stats import (
    Effect,
    FunnelStep,
    Moments,
    Quantile,
    funnel,
    needs_exact,
    quantile_effect,
    ratio_difference,
    relative_lift,
    small_counts,
    two_proportion_z,
    welch,
)
from neonblue_stats.exact import SMALL_COUNT
from neonblue_stats.proportions import binomial_variance
from neonblue_stats.quantiles import quantile_standard_errors

Row = dict[str, Any]
Step = tuple[float | None, ...]
KINDS = ("proportion", "retention", "funnel", "mean", "ratio", "quantile")
YES_OR_NO = ("proportion", "retention", "funnel")
_TESTS = dict.fromkeys(YES_OR_NO, "z") | {"mean": "welch", "ratio": "delta", "quantile": "quantile"}
# Columns of experiment_results that only some kinds have, beside `test`, which every treatment has.
KIND_COLUMNS = (
    *("test", "cap", "quantile", "quantile_values", "quantile_value", "quantile_low", "quantile_high", "funnel"),
)
_EFFECT = ("estimate", "low", "high", "p_value")
_NO_EFFECT: Step = (None,) * 8


def effects(
    kind: str, control: Moments, treatment: Moments, controls: Sequence[Row], treated: Sequence[Row], *, exact: bool
) -> tuple[dict[str, Effect], list[str]]:
    """Absolute ("abs") and relative ("rel") effects of treatments, and the test of each.

    Args:
        control, treatment: moments of shape (k,); of a ratio as `ratio_moments` has them.
        controls, treated: the same k rows of sufficient_statistics.
        exact: whether counts too small for the normal law (`needs_exact`) get the exact test. The standard errors
            remain those of the normal law: what reads them, sequences and posteriors, stays rough there.
    """
    tests = [_TESTS[kind]] * len(treated)
    if kind == "quantile":
        ends = _quantiles(controls), _quantiles(treated)
        return {unit: quantile_effect(*ends, relative=unit == "rel", facing=True) for unit in ("abs", "rel")}, tests
    found = {
        "abs": two_proportion_z(control, treatment) if kind in YES_OR_NO else welch(control, treatment),
        "rel": relative_lift(control, treatment, normal=kind in YES_OR_NO),
    }
    if kind not in YES_OR_NO or not exact:
        return found, tests
    counts = [_column(rows, name) for rows in (controls, treated) for name in ("users", "sum")]
    small = needs_exact(*counts) & (_column(controls, "active") + _column(treated, "active") > 0)
    if small.any():
        found = {unit: _exact(effect, counts, small, relative=unit == "rel") for unit, effect in found.items()}
        used = iter(small_counts(*(values[small] for values in counts)).test)
        tests = [next(used) if is_small else test for test, is_small in zip(tests, small, strict=True)]
    return found, tests


def base_of_lift(
    kind: str, control: Moments, controls: Sequence[Row], treated: Sequence[Row]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a lift is a fraction of, the control's mean or quantile, and the variance of that; shape (k,) each.

    Args: as `effects`, whose absolute effects have this variance in theirs.
    """
    if kind == "quantile":
        quantile = _quantiles(controls)
        of_control, _ = quantile_standard_errors(quantile, _quantiles(treated), facing=True)
        return np.asarray(quantile.value, dtype=np.float64), of_control**2
    with np.errstate(all="ignore"):
        variance = binomial_variance(control) / control.n if kind in YES_OR_NO else control.variance_of_mean
    return control.mean, variance


def funnel_steps(controls: Sequence[Row], treated: Sequence[Row], *, exact: bool) -> list[list[Step]]:
    """For each treatment of a funnel and each of its steps: the effect on the share of all users, then on the share of
    those who did the step before; estimate, low, high, p-value each.
    """
    width = max(_steps(cell) for cell in treated)
    shares, of_previous = [], []
    sides = [(_column(rows, "users"), rows, _funnel(rows, width)) for rows in (controls, treated)]
    (control_n, _, control_steps), (treatment_n, _, treatment_steps) = sides
    active = _column(controls, "active") + _column(treated, "active") > 0
    for before, after in zip(control_steps, treatment_steps, strict=True):
        effect = two_proportion_z(before.of_all, after.of_all)
        # Back from shares to whole numbers.
        with np.errstate(all="ignore"):
            counts = [control_n, np.rint(before.of_all.mean * control_n)]
            counts += [treatment_n, np.rint(after.of_all.mean * treatment_n)]
            small = needs_exact(*counts) & active
        if exact and small.any():
            effect = _exact(effect, counts, small, relative=False)
        shares.append(effect)
        of_previous.append(ratio_difference(before.of_previous, after.of_previous))
    return [
        [
            tuple(finite(getattr(effect, name)[i]) for effect in (shares[s], of_previous[s]) for name in _EFFECT)
            for s in range(_steps(cell))
        ]
        for i, cell in enumerate(treated)
    ]


def kind_values(cell: Row, test: str | None, steps: Sequence[Step]) -> list[Any]:
    """The values of KIND_COLUMNS; None and [] for what the cell's kind has not."""
    kind, known = cell["kind"], cell["users"] > 0
    cap = cell.get("cap")
    values: list[Any] = [test, finite(cap) if cap is not None and known else None]
    if kind == "quantile" and known:
        level = json.loads(cell["definition"] or "{}").get("quantile")
        values += [float(level) if isinstance(level, int | float) else None, int(cell["quantile_values"])]
        values += [cell[name] for name in ("quantile_value", "quantile_low", "quantile_high")]
    else:
        values += [None] * 5
    return [*values, _shown_steps(cell, steps) if kind == "funnel" and known else []]


def kind_warnings(cells: Sequence[Row]) -> Iterator[str]:
    """Sentences about one metric of one experiment.

    Args: cells: its rows of sufficient_statistics, one a variant.
    """
    kind = cells[0]["kind"]
    definition = json.loads(cells[0]["definition"] or "{}")
    if kind in YES_OR_NO and any(
        needs_exact(base["users"], base["sum"], cell["users"], cell["sum"])
        for base in cells
        if base["is_control"]
        for cell in cells
        if cell is not base and cell["active"] + base["active"]
    ):
        yield (
            f"fewer than {SMALL_COUNT:g} successes or failures expected: the fixed result is exact, the sequential, "
            "Bayesian and CUPED ones are rough"
        )
    if "cap_percentile" in definition and any(cell.get("cap") == 0 for cell in cells):
        yield (
            f"its cap at percentile {definition['cap_percentile']} is 0, as most users have none: every value above 0 "
            "counts as 0; set ignore_zeros or a higher percentile"
        )
    if kind != "quantile":
        return
    for cell in cells:
        if not cell["users"] or not cell["active"] or cell["quantile_value"] is None:
            continue
        if cell["quantile_low"] is None:
            yield (
                f"{cell['variant']}: {cell['quantile_values']:,} values are too few for an interval of the quantile "
                f"{definition.get('quantile')}"
            )
        elif cell["quantile_low"] == cell["quantile_high"]:
            yield f"{cell['variant']}: the values around its quantile are all {cell['quantile_value']:g}: no interval"
        elif cell["quantile_value"] in (cell["quantile_low"], cell["quantile_high"]):
            yield (
                f"{cell['variant']}: many of its values are {cell['quantile_value']:g}, so that its quantile moves in "
                "steps: p-values above 0.05 and the chance to win are rough; compare a mean or a proportion"
            )


def finite(value: float) -> float | None:
    """nan and infinity mean that a figure is not defined."""
    return float(value) if np.isfinite(value) else None


def _exact(
    effect: Effect, counts: Sequence[NDArray[np.float64]], small: NDArray[np.bool_], *, relative: bool
) -> Effect:
    found = small_counts(*(values[small] for values in counts), relative=relative)
    changed = {name: getattr(effect, name).copy() for name in ("low", "high", "p_value")}
    for name, values in changed.items():
        values[small] = getattr(found, name)
    return effect._replace(**changed)


def _quantiles(cells: Sequence[Row]) -> Quantile:
    names = ("quantile_values", "quantile_value", "quantile_low", "quantile_high")
    return Quantile(*(_column(cells, name) for name in names))


def _column(cells: Sequence[Row], name: str) -> NDArray[np.float64]:
    """nan where the cells have none: those of a segment know no quantiles."""
    values = [cell.get(name) for cell in cells]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _steps(cell: Row) -> int:
    return int(cell.get("steps") or 0)


def _reached(cell: Row, width: int) -> list[float]:
    """Users by step, padded to `width` with the last. At most those compared: an assignment may be gone by now."""
    counts = [min(float(count), float(cell["users"])) for count in cell.get("reached") or [0.0] * _steps(cell)]
    return counts + (counts[-1:] or [0.0]) * (width - len(counts))


def _funnel(cells: Sequence[Row], width: int) -> list[FunnelStep]:
    return funnel(_column(cells, "users"), np.array([_reached(cell, width) for cell in cells]).T)


def _shown_steps(cell: Row, steps: Sequence[Step]) -> list[tuple[Any, ...]]:
    further = json.loads(cell["definition"] or "{}").get("steps") or []
    names = [cell["event_type"], *(str(step.get("event_type")) for step in further)]
    shown, before = [], float(cell["users"])
    for s, (name, count) in enumerate(zip(names, _reached(cell, _steps(cell)), strict=False)):
        of_previous = count / before if before else None
        effect = steps[s] if steps else _NO_EFFECT
        shown.append((name, int(count), count / cell["users"], of_previous, *effect))
        before = count
    return shown
