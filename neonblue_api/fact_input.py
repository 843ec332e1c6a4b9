"""What the readers of facts have in common: how a batch is taken apart, and how what is wrong with a part is told."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from neonblue_api.errors import InvalidInput, MalformedJson
from neonblue_api.input_rules import FieldError, field_error
from neonblue_api.strict_json import JsonRefused, read_strictly

UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
# Bytes of facts that are decoded in one go: 50 ms where they are nothing but brackets.
TOGETHER = 256 << 10
# Bytes of a fact around its properties: keys, ids and times, each letter of them escaped.
AROUND = 16 << 10
# Bytes of a text that is read exactly to say what is wrong with it, 20 ms; of a longer one msgspec's word has to do.
_TOLD_EXACTLY = 64 << 10


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


def undecoded(raw: bytes, error: Exception, *, max_depth: int) -> JsonRefused | FieldError:
    """What is wrong with a text that msgspec refused with `error`, one of UNDECODABLE."""
    if len(raw) <= _TOLD_EXACTLY:
        try:
            read_strictly(raw, max_depth=max_depth)
        except JsonRefused as refused:
            return refused
    if isinstance(error, msgspec.ValidationError):
        return field_error(error)
    return JsonRefused(f"is not JSON: {error}")


def items_of(body: bytes, name: str, *, max_batch: int, max_depth: int) -> list[bytes]:
    """The texts of the items of {"NAME": […]}. Raises MalformedJson, InvalidInput."""
    try:
        items = _few_items(body, name) if len(body) <= TOGETHER else _first_items(body, name, max_batch + 1)
    except UNDECODABLE as error:
        raise refusal_of(undecoded(body, error, max_depth=max_depth + 3)) from None
    check_count(len(items), name, max_batch)
    # The list may stand in the body once; msgspec takes the last of several.
    if body.count(b":") - b"".join(items).count(b":") != 1:
        raise MalformedJson(f"the body has the key {name!r} twice")
    return items


def _few_items(body: bytes, name: str) -> list[bytes]:
    return [bytes(item) for item in getattr(_decoder(name, None).decode(body), name)]


def _first_items(body: bytes, name: str, most: int) -> list[bytes]:
    items = msgspec.structs.astuple(getattr(_decoder(name, most).decode(body), name))
    return [bytes(item) for item in items if item is not UNSET]


@cache
def _decoder(name: str, most: int | None) -> "msgspec.json.Decoder[Any]":
    """Of {"NAME": […]} with its items undecoded: a list of all, or an object with the first `most` as its fields.

    A list is built whole before anybody can count it: 32 MiB of ones took 2 GB. What no field is left for is passed
    over.
    """
    items: Any = list[Raw]
    if most is not None:
        items = msgspec.defstruct("Items", [(f"item_{n}", Raw, UNSET) for n in range(most)], array_like=True)
    return msgspec.json.Decoder(msgspec.defstruct("Batch", [(name, items)], forbid_unknown_fields=True))


def check_count(count: int, name: str, most: int) -> None:
    """Raises InvalidInput."""
    if count > most:
        raise InvalidInput(
            f"the batch has more than {most} {name}",
            rule=f"a batch has at most {most} {name}",
            errors=[{"field": name, "message": f"more than {most} {name}"}],
        )
