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
_SHAPE = bytes.maketrans(b"123456789E", b"000000000e")
_MANY_DIGITS = b"0" * 150  # a number longer than _LONGEST_NUMBER has as many on one side of its point
_decode = msgspec.json.Decoder(Any).decode
_encode = msgspec.json.Encoder().encode


class JsonRefused(ValueError):
    """What is wrong with a document, as a phrase that follows its name."""


class NotAnObject(JsonRefused):
    pass


def holds_no_repeats(raw: bytes, value: Any) -> bool:
    """Whether `value`, decoded from `raw` by msgspec, has every member that the text has.

    A member has one colon, a colon in text stays one, and of a member written twice only one is left: the text that
    `value` is encoded to has as many colons as `raw`, or fewer. False also where an escaped colon leaves it open, or
    a nesting that the decoder bears and the encoder does not.
    """
    try:
        return b"\\u003" not in raw and _encode(value).count(b":") == raw.count(b":")
    except RecursionError:
        return False


def check_object(raw: bytes, *, max_depth: int, max_size: int) -> None:
    """Checks that `raw` is one strict JSON object.

    Raises JsonRefused. `max_size` bounds the bytes PostgreSQL will write it with, where 1e308 has 309 digits.
    """
    if len(raw) > max_size:
        raise JsonRefused(f"has {len(raw)} bytes; at most {max_size} are allowed")
    try:
        value = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        value = None  # the exact reader says why
    if type(value) is not dict or not holds_no_repeats(raw, value) or b"\\u0000" in raw:
        value = read_strictly(raw, max_depth=max_depth)
        if type(value) is not dict:
            raise NotAnObject(f"is {_kind(value)}; it must be an object")
    check_extent(raw, max_depth=max_depth, max_size=max_size, value=value)


def check_extent(raw: bytes, *, max_depth: int, max_size: int, value: Any = None) -> None:
    """Checks numbers, depth and size of an object whose text is otherwise known to be strict. Raises JsonRefused."""
    size = len(raw)
    # Only an exponent or very many digits make a number that needs a look. Text like "2e" only costs time.
    shape = raw.translate(_SHAPE)
    many_digits = size >= 300 and _MANY_DIGITS in shape
    if size <= max_size and raw.count(b"{") + raw.count(b"[") <= max_depth and not many_digits and b"0e" not in shape:
        return
    audit = _Audit(max_depth)
    document: Any = _decode(raw) if value is None else value
    audit.of(document, 1)
    if audit.doubtful or many_digits:
        read_strictly(raw, max_depth=max_depth)
    if size + audit.growth > max_size:
        raise JsonRefused(f"needs {size + audit.growth} bytes written out; at most {max_size} are allowed")


class _Audit:
    """Walks a decoded document: its depth, how much longer its numbers become, whether one needs the exact reader."""

    __slots__ = ("doubtful", "growth", "max_depth")

    def __init__(self, max_depth: int) -> None:
        self.max_depth = max_depth
        self.growth = 0
        self.doubtful = False

    def of(self, value: dict[str, Any] | list[Any], depth: int) -> None:
        if depth > self.max_depth:
            raise JsonRefused(f"is nested deeper than {self.max_depth} levels")
        items: Any = value.values() if type(value) is dict else value
        for item in items:
            kind = type(item)
            if kind is float:
                if item == 0.0 or not -_LARGEST <= item <= _LARGEST:
                    self.doubtful = True  # 0 may be what is left of 1e-400
                if not 1e-5 < abs(item) < 1e16:
                    self.growth += 330
            elif kind is int:
                if not -_LARGEST <= item <= _LARGEST:
                    self.doubtful = True
            elif kind is dict or kind is list:
                self.of(item, depth + 1)


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
