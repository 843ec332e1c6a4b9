"""What the readers of facts have in common: how a batch is taken apart, and how what is wrong with a part is told."""

from dataclasses import dataclass
from typing import Any

import msgspec

from neonblue_api.errors import InvalidInput, MalformedJson
from neonblue_api.input_rules import FieldError, field_error
from neonblue_api.strict_json import JsonRefused, read_strictly

UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass(slots=True)
class Rejected:
    """A fact that was not stored: its position in what the client sent, the error's code, and the reason."""

    index: int
    code: str
    message: str


def refusal_of(wrong: JsonRefused | FieldError, thing: str = "the body") -> MalformedJson | InvalidInput:
    """The error for a text that is not strict JSON, or a field that breaks a rule."""
    if isinstance(wrong, FieldError):
        return InvalidInput(str(wrong), errors=[{"field": wrong.field, "message": wrong.message}])
    return MalformedJson(f"{thing} {wrong}")


def rejected(index: int, wrong: JsonRefused | FieldError, thing: str) -> Rejected:
    error = refusal_of(wrong, thing)
    return Rejected(index, error.code, error.found)


def items_of(
    body: bytes, decoder: "msgspec.json.Decoder[Any]", name: str, *, max_batch: int, max_depth: int
) -> list[bytes]:
    """The texts of the items of {"NAME": […]}; `decoder` leaves them undecoded. Raises MalformedJson, InvalidInput."""
    try:
        items = [bytes(item) for item in getattr(decoder.decode(body), name)]
    except UNDECODABLE as error:
        try:
            read_strictly(body, max_depth=max_depth + 3)
        except JsonRefused as refused:
            raise refusal_of(refused) from None
        raise refusal_of(field_error(error)) from None
    check_count(len(items), name, max_batch)
    # The list may stand in the body once; msgspec takes the last of several.
    if body.count(b":") - sum(item.count(b":") for item in items) != 1:
        raise MalformedJson(f"the body has the key {name!r} twice")
    return items


def check_count(count: int, name: str, most: int) -> None:
    """Raises InvalidInput."""
    if count > most:
        raise InvalidInput(
            f"the batch has {count} {name}",
            rule=f"a batch has at most {most} {name}",
            errors=[{"field": name, "message": f"{count} {name}; at most {most}"}],
        )
