"""Rules that fields of facts share: keys, user ids, times, and how a broken one is told."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from msgspec import Meta

from neonblue_api.settings import Settings

UserId = Annotated[str, Meta(min_length=1, max_length=256, examples=["u1"])]
ExperimentKey = Annotated[str, Meta(pattern="^[A-Za-z0-9._-]{1,128}$", examples=["checkout_button"])]
Timestamp = Annotated[
    str,
    Meta(
        description="RFC 3339 with a zone and at most microseconds; the server's time if left out.",
        examples=["2026-01-31T23:59:59.123456Z"],
        extra_json_schema={"format": "date-time"},
    ),
]

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.(\d{1,6})0*)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_FULL_LENGTH = len("2026-01-31T23:59:59.123456Z")
Bounds = tuple[datetime, datetime]


class TimeRule:
    """Which times a client may state, and their form in UTC."""

    def __init__(self, settings: Settings) -> None:
        self._future = timedelta(seconds=settings.max_future)
        self._age = timedelta(seconds=settings.max_age)

    def bounds(self) -> Bounds:
        now = datetime.now(UTC)
        return now - self._age, now + self._future

    def utc(self, text: str, name: str, bounds: Bounds) -> str:
        """`text` as UTC with six digits and Z, the same instant. Raises FieldError."""
        try:
            if len(text) == _FULL_LENGTH and text[4:20:3] == "--T::." and text[26] == "Z":
                moment = datetime.fromisoformat(text)  # the common form needs nothing more
            else:
                moment = _parse(text, name)
        except ValueError as error:
            if isinstance(error, FieldError):
                raise
            raise FieldError(name, f"{text[:60]!r} is no time: {error}") from None
        earliest, latest = bounds
        if not earliest <= moment <= latest:
            raise FieldError(
                name,
                f"{text!r} is outside the allowed span {earliest:%Y-%m-%dT%H:%M:%SZ} to {latest:%Y-%m-%dT%H:%M:%SZ}",
            )
        if len(text) == _FULL_LENGTH and text[26] == "Z":
            return text
        return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _parse(text: str, name: str) -> datetime:
    if _TIMESTAMP.fullmatch(text) is None:
        raise FieldError(
            name, f"{text[:60]!r} is not a time like 2026-01-31T23:59:59.123456Z, with a zone and at most microseconds"
        )
    head, zone = (text[:-1], "+00:00") if text[-1] in "Zz" else (text[:-6], text[-6:])
    return datetime.fromisoformat(head[:26] + zone)


class FieldError(ValueError):
    """A field that breaks a rule."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.field = name
        self.message = message


def field_error(error: Exception) -> FieldError:
    """msgspec's message, with the field apart: "Expected `str`, got `int` - at `$.user_id`"."""
    message, _, place = str(error).partition(" - at ")
    return FieldError(place.strip("`").removeprefix("$").lstrip(".") or "body", message)
