"""From sums as written to moments, in exact arithmetic: no digit that the sender kept is lost here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ..errors import InvalidInput
from ..joint import JointMoments
from .fields import Exact
from .request import MeanArm, ProportionArm, RatioArm

# Sums that were added up in double precision are off by about 1e-16 each, by less than this part after many rows.
_ROUNDING = Fraction(1, 10**10)
# Below this part of the sum of squares, a centred sum of squares made from doubles holds no digit.
_LOST = Fraction(1, 10**14)


class _Variable(NamedTuple):
    """Sum and sum of squares of one variable, with the names of their fields."""

    name: str
    total: Exact
    sum_squares: Exact
    shift: Exact
    squares_field: str


class _Product(NamedTuple):
    row: int
    column: int
    value: Exact
    field: str


class Arm(NamedTuple):
    """One variant: moments of shape () in the order of JointMoments' methods, and what the reader should know."""

    moments: JointMoments
    warnings: list[str]
    covariates: int


def proportion_arm(arm: ProportionArm, where: str) -> Arm:
    """(metric) or (metric, covariate); the metric is 0 or 1 for each user."""
    if arm.sum != int(arm.sum):
        raise InvalidInput(f"{where}.sum", f"found {arm.sum}; must be a whole number of users")
    if not 0 <= arm.sum <= arm.n:
        raise InvalidInput(f"{where}.sum", f"found {arm.sum}; must be between 0 and n, {arm.n}")
    metric = _Variable("metric", arm.sum, arm.sum, 0, "sum")
    covariates, products = _covariate(arm, 1)
    return _moments(arm.n, [metric, *covariates], products, where)


def mean_arm(arm: MeanArm, where: str) -> Arm:
    """(metric) or (metric, covariate)."""
    metric = _Variable("metric", arm.sum, arm.sum_squares, arm.shift, "sum_squares")
    covariates, products = _covariate(arm, 1)
    return _moments(arm.n, [metric, *covariates], products, where)


def ratio_arm(arm: RatioArm, where: str) -> Arm:
    """(numerator, denominator), then one covariate, or the two histories of numerator and denominator."""
    variables = [
        _Variable("numerator", arm.sum, arm.sum_squares, arm.shift, "sum_squares"),
        _Variable("denominator", arm.denominator_sum, arm.denominator_sum_squares, arm.denominator_shift,
                  "denominator_sum_squares"),
    ]  # fmt: skip
    products = [_Product(0, 1, arm.product_sum, "product_sum")]
    covariates, more = _covariate(arm, 2)
    variables += covariates
    products += more
    if arm.covariate_denominator_product_sum is not None:
        products.append(_Product(1, 2, arm.covariate_denominator_product_sum, "covariate_denominator_product_sum"))
    if (
        arm.denominator_covariate_sum is not None
        and arm.denominator_covariate_sum_squares is not None
        and arm.denominator_covariate_product_sum is not None
        and arm.denominator_covariate_denominator_product_sum is not None
        and arm.covariates_product_sum is not None
    ):
        variables.append(
            _Variable("denominator covariate", arm.denominator_covariate_sum, arm.denominator_covariate_sum_squares,
                      arm.denominator_covariate_shift, "denominator_covariate_sum_squares")
        )  # fmt: skip
        products += [
            _Product(0, 3, arm.denominator_covariate_product_sum, "denominator_covariate_product_sum"),
            _Product(1, 3, arm.denominator_covariate_denominator_product_sum,
                     "denominator_covariate_denominator_product_sum"),
            _Product(2, 3, arm.covariates_product_sum, "covariates_product_sum"),
        ]  # fmt: skip
    return _moments(arm.n, variables, products, where)


def _covariate(arm: ProportionArm, index: int) -> tuple[list[_Variable], list[_Product]]:
    if arm.covariate_sum is None or arm.covariate_sum_squares is None or arm.covariate_product_sum is None:
        return [], []
    variable = _Variable(
        "covariate", arm.covariate_sum, arm.covariate_sum_squares, arm.covariate_shift, "covariate_sum_squares"
    )
    return [variable], [_Product(0, index, arm.covariate_product_sum, "covariate_product_sum")]


def _moments(n: int, variables: Sequence[_Variable], products: Sequence[_Product], where: str) -> Arm:
    d = len(variables)
    warnings: list[str] = []
    totals = [Fraction(v.total) for v in variables]
    centred: list[Fraction | None] = []
    cov = np.full((d, d), np.nan)
    for i, v in enumerate(variables):
        value = _centred_square(n, v, totals[i], where, warnings)
        centred.append(value)
        if value is not None and n > 1:
            cov[i, i] = _to_float(value / (n - 1))
    for p in products:
        value = _centred_product(n, variables, totals, centred, p, where)
        if n > 1 and value is not None:
            cov[p.row, p.column] = cov[p.column, p.row] = _to_float(value / (n - 1))
    mean = [_to_float(Fraction(v.shift) + total / n) for v, total in zip(variables, totals, strict=True)]
    metrics = 2 if variables[0].name == "numerator" else 1
    return Arm(JointMoments(float(n), np.array(mean), cov), warnings, d - metrics)


def _centred_square(n: int, v: _Variable, total: Fraction, where: str, warnings: list[str]) -> Fraction | None:
    """Σ(x - mean)², or None where rounding has eaten it; InvalidInput where no data have such sums."""
    squares = Fraction(v.sum_squares)
    field = f"{where}.{v.squares_field}"
    if squares < 0:
        raise InvalidInput(field, f"found {v.sum_squares}; a sum of squares must be 0 or more")
    least = total * total / n
    value = squares - least
    whole = isinstance(v.total, int) and isinstance(v.sum_squares, int)
    slack = Fraction(0) if whole else _ROUNDING * squares
    if value < -slack:
        raise InvalidInput(
            field,
            f"found {v.sum_squares}; must be at least sum²/n = {_to_float(least):.10g} "
            "(smaller means a negative variance)",
        )
    if n == 1 and value > slack:
        raise InvalidInput(
            field, f"found {v.sum_squares}; with n = 1 it must be the square of the sum, {_to_float(least):.10g}"
        )
    if whole or value == 0:
        return value
    if value < _LOST * squares:
        warnings.append(
            f"{where}: the {v.name}'s variance is lost in rounding (its sums agree to 14 digits): send sums of "
            "(value - shift) with `shift` near the mean, or whole numbers"
        )
        return None
    if value < _ROUNDING * squares:
        digits = max(0, math.floor(15.95 - math.log10(float(squares / value))))
        warnings.append(
            f"{where}: the {v.name}'s sums leave only about {digits} digits for its variance: send sums of "
            "(value - shift) with `shift` near the mean"
        )
    return value


def _centred_product(
    n: int,
    variables: Sequence[_Variable],
    totals: Sequence[Fraction],
    centred: Sequence[Fraction | None],
    p: _Product,
    where: str,
) -> Fraction | None:
    a, b = variables[p.row], variables[p.column]
    value = Fraction(p.value) - totals[p.row] * totals[p.column] / n
    left, right = centred[p.row], centred[p.column]
    if left is None or right is None:
        return None
    # Cauchy-Schwarz, with room for rounding in sums that are not whole numbers
    whole = all(isinstance(x, int) for x in (a.total, a.sum_squares, b.total, b.sum_squares, p.value))
    room = Fraction(0) if whole else _ROUNDING**2 * Fraction(a.sum_squares) * Fraction(b.sum_squares)
    if value * value > left * right * (1 + _ROUNDING) + room:
        raise InvalidInput(
            f"{where}.{p.field}",
            f"found {p.value}; the correlation of {a.name} and {b.name} would be outside -1..1",
        )
    return value


def _to_float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
