"""A whole document of comparisons: read, each answered on its own, errors that name the comparison and the field."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import InvalidInput, StatisticsError
from .compare import compare
from .plan import answer_multiplicity, answer_plan, answer_sample_ratio, answer_spending
from .request import KINDS, Multiplicity, Power, Request, SampleRatio, SampleSize, SpendingPlan

Reply = dict[str, Any]
_LONGEST_NUMBER = 700


class DocumentError(StatisticsError):
    """The text as a whole cannot be read: not JSON, or neither an object nor a list."""


def analyse_document(text: str) -> Reply | list[Reply]:
    """Answer a JSON text: one object gives one reply, a list gives a list in the same order.

    A comparison that cannot be answered gives {"id", "error", "field", "warnings"}; the others are still answered.
    Raises DocumentError where the text is no JSON, or no object or list.
    """
    try:
        document = json.loads(text, parse_float=Decimal, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise DocumentError(f"not JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise DocumentError("the JSON is nested too deeply; a comparison needs three levels") from None
    if isinstance(document, list):
        return [analyse_one(item, position) for position, item in enumerate(document, start=1)]
    if isinstance(document, dict):
        return analyse_one(document, 1)
    raise DocumentError(f"found {_type_name(document)}; must be one comparison (an object) or a list of them")


def analyse_one(item: Any, position: int = 1) -> Reply:
    """Answer one comparison, parsed from JSON (whole numbers as int, others as Decimal or float).

    What is wrong with it is answered too, as an error; nothing is raised.

    Args:
        position: in its list, from 1; names the comparison when it has no id.
    """
    identity = _identity(item, position)
    try:
        request, ignored = _read(item, identity)
        reply = _answer(request)
    except InvalidInput as error:
        return _failure(identity, error.field, error.message)
    reply["warnings"] = ignored + reply["warnings"]
    return _defined(reply)


def _read(item: Any, identity: Any) -> tuple[Request, list[str]]:
    if not isinstance(item, dict):
        raise InvalidInput("comparison", f"found {_type_name(item)}; must be an object")
    given = item.get("id")
    if isinstance(given, dict | list):
        raise InvalidInput("id", f"found {_type_name(given)}; must be text or a number")
    kind = item.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        found = "is missing" if kind is None else f"found {kind!r}"
        raise InvalidInput("kind", f"{found}; must be one of {', '.join(KINDS)}")
    # null is the same as not given, as in the replies
    fields = {key: _without_nulls(value) for key, value in item.items() if value is not None}
    fields["id"] = identity
    try:
        request: Any = KINDS[kind].model_validate(fields)
    except ValidationError as error:
        raise _first_error(error, kind) from None
    return request, [f"{field} is not a field of kind {kind!r} and was not used" for field in _unknown(request)]


def _answer(request: Request) -> Reply:
    if isinstance(request, SampleRatio):
        return answer_sample_ratio(request)
    if isinstance(request, Multiplicity):
        return answer_multiplicity(request)
    if isinstance(request, SampleSize | Power):
        return answer_plan(request)
    if isinstance(request, SpendingPlan):
        return answer_spending(request)
    return compare(request)


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else Decimal(digits)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: inner for key, inner in value.items() if inner is not None}
    return value


def _identity(item: Any, position: int) -> Any:
    given = item.get("id") if isinstance(item, dict) else None
    if given is None or isinstance(given, dict | list):
        return f"#{position}"
    return float(given) if isinstance(given, Decimal) else given


def _first_error(error: ValidationError, kind: str) -> InvalidInput:
    """The first thing wrong, as field and sentence; the others are counted."""
    problems = [_problem(e, kind) for e in error.errors()]
    seen = list(dict.fromkeys(field for field, _ in problems))
    field, message = problems[0]
    if len(seen) > 1:
        message += f" (also wrong: {', '.join(seen[1:])})"
    return InvalidInput(field, message)


def _problem(error: Any, kind: str) -> tuple[str, str]:
    # a union's branches (list[...], dict[...]) are no part of the document
    path = [str(part) for part in error["loc"] if not (isinstance(part, str) and ("[" in part or "(" in part))]
    if error["type"] == "missing":
        return ".".join(path), f"is missing; kind {kind!r} needs it"
    if error["type"] == "value_error":
        message = str(error["ctx"]["error"])
        head, colon, rest = message.partition(": ")
        # a rule over several fields of an object names the field itself
        if colon and head.replace(".", "").replace("_", "").isalnum() and not message.startswith("found"):
            return ".".join([*path, head]), rest
        return ".".join(path), message
    found = error.get("input")
    if error["type"] == "literal_error":
        allowed = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return ".".join(path), f"found {found!r}; must be one of {allowed}"
    wanted = {"model_type": "an object", "model_attributes_type": "an object", "list_type": "a list",
              "dict_type": "an object"}.get(error["type"])  # fmt: skip
    if wanted:
        return ".".join(path), f"found {_type_name(found)}; must be {wanted}"
    return ".".join(path), f"found {found!r}; {error['msg']}"


def _unknown(model: BaseModel, prefix: str = "") -> list[str]:
    names = [prefix + name for name in model.model_extra or {}]
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            names += _unknown(value, f"{prefix}{name}.")
    return [name for name in names if name.rpartition(".")[2] not in _KNOWN_ELSEWHERE]


def _known_names() -> frozenset[str]:
    """Fields of any kind: given where they are not needed, they are no slip of the pen and pass in silence."""
    names: set[str] = set()
    for model in KINDS.values():
        names |= set(model.model_fields)
        for side in ("control", "treatment"):
            if side in model.model_fields:
                names |= set(model.model_fields[side].annotation.model_fields)  # type: ignore[union-attr]
    return frozenset(names | {"name", "description", "note"})


_KNOWN_ELSEWHERE = _known_names()


def _failure(identity: Any, field: str, message: str) -> Reply:
    return {"id": identity, "error": f"comparison {identity!r}: {field}: {message}", "field": field, "warnings": []}


def _defined(reply: Reply) -> Reply:
    """nan and infinities become null; a null that nothing explains yet gets a general warning."""
    clean = {key: _null(value) for key, value in reply.items()}
    silent = [key for key, value in clean.items() if value is None and key != "id"]
    if silent and not clean["warnings"]:
        clean["warnings"] = [f"{', '.join(silent)}: undefined for these data"]
    return clean


def _null(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_null(inner) for inner in value]
    return value


def _type_name(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
