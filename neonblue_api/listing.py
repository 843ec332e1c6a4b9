"""Pages of lists by cursor, and versions by ETag."""

import base64
import json
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Header, Query

from neonblue_api.errors import InvalidCursor, PreconditionFailed
from neonblue_api.strict_json import read_strictly

T = TypeVar("T")

LimitDep = Annotated[int, Query(ge=1, le=1000, description="Items a page.")]
CursorDep = Annotated[str | None, Query(max_length=4096, description="next_cursor of the page before.")]
IfMatchDep = Annotated[
    str | None, Header(description="The ETag of the version that is changed; refused with 412 if it is older.")
]


def cursor_of(*place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, *kinds: type) -> list[Any] | None:
    """The place that `cursor` stands for, one value of each of `kinds`. Raises InvalidCursor."""
    if cursor is None:
        return None
    try:
        place = read_strictly(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), max_depth=1)
    except ValueError:
        raise InvalidCursor(f"cursor is {cursor[:100]!r}") from None
    fits = isinstance(place, list) and [type(value) for value in place] == list(kinds)
    if not fits or any(type(value) is int and not -(2**63) <= value < 2**63 for value in place):
        raise InvalidCursor(f"cursor is {cursor[:100]!r}")
    return place


def one_page(found: list[T], limit: int, place: Callable[[T], tuple[Any, ...]]) -> tuple[list[T], str | None]:
    """The first `limit` of what was found, and the cursor of the page after it; None if no more than those were found.

    `place` of an item: the values that read_cursor gives back.
    """
    return found[:limit], cursor_of(*place(found[limit - 1])) if len(found) > limit else None


def etag(revision: int) -> str:
    return f'"{revision}"'


def check_match(if_match: str | None, revision: int, what: str) -> None:
    """Raises PreconditionFailed unless If-Match is absent, * or names this revision."""
    if if_match is None:
        return
    named = {part.strip().removeprefix("W/") for part in if_match.split(",")}
    if "*" not in named and etag(revision) not in named:
        raise PreconditionFailed(f"{what} is at ETag {etag(revision)}; If-Match is {if_match[:100]}")
