"""JSON as a client may send it: what is accepted arrives equal, so whatever could be read in two ways is refused.

Two readers agree on what they accept: `read_strictly` sees every token and is exact but slow; `check_object` proves
with a few fast scans that a document holds nothing that needs the exact reader, and calls it where it cannot.
"""

import json
import math
import sys
from typing import Any

import msgspec

_LARGEST = sys.float_info.max
_LONGEST_NUMBER = 400
_LONG_DOCUMENT = 16_000  # shorter documents cannot hold a number with more digits than PostgreSQL's numeric
_decode = msgspec.json.Decoder(Any).decode


class JsonRefused(ValueError):
    """What is wrong with a document, as a phrase that follows its name."""


class NotAnObject(JsonRefused):
    pass


def check_object(raw: bytes, *, max_depth: int, max_size: int) -> int:
    """Checks that `raw` is one strict JSON object and returns the number of its colons (members and colons in text).

    Raises JsonRefused. `max_size` bounds the bytes PostgreSQL will write it with, where 1e308 has 309 digits.
    """
    if len(raw) > max_size:
        raise JsonRefused(f"has {len(raw)} bytes; at most {max_size} are allowed")
    if raw == b"{}":
        return 0
    if len(raw) < _LONG_DOCUMENT and b"\\u0000" not in raw and b"\\u003" not in raw:
        try:
            value = _decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            value = None  # the exact reader says why
        if type(value) is dict:
            audit = _Audit(max_depth)
            colons = audit.of(value, 1)
            # Each member has one colon: more colons than members and text account for are members written twice.
            if not audit.doubtful and colons == raw.count(b":") and len(raw) + audit.growth <= max_size:
                return colons
    value = read_strictly(raw, max_depth=max_depth)
    if type(value) is not dict:
        raise NotAnObject(f"is {_kind(value)}; it must be an object")
    audit = _Audit(max_depth)
    audit.of(value, 1)
    if len(raw) + audit.growth > max_size:
        raise JsonRefused(f"needs {len(raw) + audit.growth} bytes written out; at most {max_size} are allowed")
    return raw.count(b":")


class _Audit:
    """Counts what a decoded document must have had in its text, and marks what the exact reader has to look at."""

    __slots__ = ("doubtful", "growth", "max_depth")

    def __init__(self, max_depth: int) -> None:
        self.max_depth = max_depth
        self.growth = 0
        self.doubtful = False

    def of(self, value: dict[str, Any] | list[Any], depth: int) -> int:
        if depth > self.max_depth:
            raise JsonRefused(f"is nested deeper than {self.max_depth} levels")
        colons = 0
        if type(value) is dict:
            colons = len(value)
            for key in value:
                colons += key.count(":")
            values: Any = value.values()
        else:
            values = value
        for item in values:
            kind = type(item)
            if kind is str:
                colons += item.count(":")
            elif kind is float:
                if not 1e-5 < item < 1e16:
                    if item == 0.0 or not -_LARGEST <= item <= _LARGEST:
                        self.doubtful = True  # 0 may be what is left of 1e-400
                    if not -1e16 < item < -1e-5:
                        self.growth += 330
            elif kind is int:
                if not -_LARGEST <= item <= _LARGEST:
                    self.doubtful = True
            elif kind is dict or kind is list:
                colons += self.of(item, depth + 1)
        return colons


def read_strictly(raw: bytes, *, max_depth: int) -> Any:
    """The value of a JSON text, decoded by the standard library with every rule checked. Raises JsonRefused."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise JsonRefused(f"is not UTF-8 at byte {error.start}") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_without_repeats,
            parse_constant=_no_constant,
            parse_float=_number,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        raise JsonRefused(f"is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise JsonRefused(f"is nested deeper than {max_depth} levels") from None
    _check_text(value, max_depth, 1)
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JsonRefused(f"has the key {key[:100]!r} twice in one object")
            seen.add(key)
    return value


def _no_constant(name: str) -> Any:
    raise JsonRefused(f"holds {name}, which is not JSON")


def _number(literal: str) -> float:
    value = float(literal)
    digits, _, exponent = literal.lower().partition("e")
    if not math.isfinite(value):
        raise JsonRefused(f"holds a number beyond 1.8e308: {literal[:40]}")
    if value == 0 and digits.strip("-0."):
        raise JsonRefused(f"holds a number that is too small to tell from 0: {literal[:40]}")
    if len(literal) > _LONGEST_NUMBER or (exponent and abs(int(exponent)) > _LONGEST_NUMBER):
        raise JsonRefused(f"holds a number of more than {_LONGEST_NUMBER} digits")
    return value


def _integer(literal: str) -> int:
    if len(literal) > _LONGEST_NUMBER:
        raise JsonRefused(f"holds a number of more than {_LONGEST_NUMBER} digits")
    value = int(literal)
    if not -_LARGEST <= value <= _LARGEST:
        raise JsonRefused(f"holds a number beyond 1.8e308: {literal[:40]}")
    return value


def _check_text(value: Any, max_depth: int, depth: int) -> None:
    if type(value) is str:
        if "\0" in value:
            raise JsonRefused("holds \\u0000, which PostgreSQL cannot store")
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise JsonRefused("holds half of a surrogate pair, which is no character")
    elif type(value) in (dict, list):
        if depth > max_depth:
            raise JsonRefused(f"is nested deeper than {max_depth} levels")
        for item in value:
            _check_text(item, max_depth, depth + 1)
        if type(value) is dict:
            for item in value.values():
                _check_text(item, max_depth, depth + 1)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "an array"}[type(value)]
