"""Types of single fields of a comparison: what is accepted, and what the error says."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

Exact = int | Decimal
"""A JSON number as written: whole numbers exact at any length, others as decimals with every digit."""

_LARGEST = Decimal("1.7e308")
_SMALLEST_EXPONENT = -400


def _number(value: Any) -> Exact:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | float):
        raise ValueError(f"found {_show(value)}; must be a number")
    # a float by its shortest text, as JSON would have carried it
    exact: Exact = value if isinstance(value, int) else Decimal(repr(value)) if isinstance(value, float) else value
    if isinstance(exact, Decimal) and not exact.is_finite():
        raise ValueError(f"found {value}; must be a finite number")
    if not -_LARGEST <= exact <= _LARGEST:
        raise ValueError(f"found {_show(value)}; must be below 1.7e308")
    if isinstance(exact, Decimal) and exact and exact.adjusted() < _SMALLEST_EXPONENT:
        return Decimal(0)
    return exact


def _count(value: Any) -> int:
    exact = _number(value)
    if exact != int(exact):
        raise ValueError(f"found {_show(value)}; must be a whole number")
    if exact < 1:
        raise ValueError(f"found {_show(value)}; must be 1 or more")
    return int(exact)


def _users(value: Any) -> int:
    exact = _number(value)
    if exact != int(exact) or exact < 0:
        raise ValueError(f"found {_show(value)}; must be a whole number, 0 or more")
    return int(exact)


def _float(value: Any) -> float:
    return float(_number(value))


def _rate(value: Any) -> float:
    number = _float(value)
    if not 0.0 < number < 1.0:
        raise ValueError(f"found {_show(value)}; must be above 0 and below 1")
    return number


def _positive(value: Any) -> float:
    number = _float(value)
    if not number > 0.0:
        raise ValueError(f"found {_show(value)}; must be above 0")
    return number


def _p_value(value: Any) -> float | None:
    if value is None:
        return None
    number = _float(value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"found {_show(value)}; must be between 0 and 1")
    return number


def _reduction(value: Any) -> float:
    number = _float(value)
    if not 0.0 <= number < 1.0:
        raise ValueError(f"found {_show(value)}; must be at least 0 and below 1")
    return number


_SIDES = {
    "two": "two", "two-sided": "two", "one": "greater", "one-sided": "greater", "greater": "greater",
    "larger": "greater", "less": "less", "smaller": "less",
}  # fmt: skip


def _sided(value: Any) -> str:
    if not isinstance(value, str) or value not in _SIDES:
        raise ValueError(f"found {_show(value)}; must be two, greater (or one) or less")
    return _SIDES[value]


def _show(value: Any) -> str:
    text = str(value) if isinstance(value, int | Decimal | float) and not isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else re.sub(r"(?s)^(.{57}).*$", r"\1...", text)


_NUMBER_SCHEMA: dict[str, Any] = {"type": "number"}

Number = Annotated[Exact, PlainValidator(_number), WithJsonSchema(_NUMBER_SCHEMA)]
Float = Annotated[float, PlainValidator(_float), WithJsonSchema(_NUMBER_SCHEMA)]
Count = Annotated[int, PlainValidator(_count), WithJsonSchema({"type": "integer", "minimum": 1})]
Users = Annotated[int, PlainValidator(_users), WithJsonSchema({"type": "integer", "minimum": 0})]
Rate = Annotated[
    float,
    PlainValidator(_rate),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
]
Positive = Annotated[float, PlainValidator(_positive), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})]
PValue = Annotated[
    float | None, PlainValidator(_p_value), WithJsonSchema({"type": ["number", "null"], "minimum": 0, "maximum": 1})
]
Reduction = Annotated[
    float, PlainValidator(_reduction), WithJsonSchema({"type": "number", "minimum": 0, "exclusiveMaximum": 1})
]
SidedField = Annotated[
    Literal["two", "greater", "less"],
    PlainValidator(_sided),
    WithJsonSchema({"enum": list(_SIDES)}),
    Field(description="two; greater (or one): the treatment is higher; less: it is lower"),
]
EffectField = Annotated[Literal["relative", "absolute"], Field(description="a fraction of |control|, or a difference")]
