"""Field types that several models share."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

T = TypeVar("T")

Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$", examples=["checkout_button"])]
Name = Annotated[str, Field(max_length=256)]
Weight = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, examples=[0.5])]


def _read_time(value: Any) -> Any:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"must be a time like 2026-01-31T23:59:59.123456Z: {error}") from None
        if moment.tzinfo is None:
            raise ValueError("must have a time zone, like 2026-01-31T23:59:59.123456Z")
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            raise ValueError("must be a time between the years 1 and 9999 in UTC") from None
    return value


def utc_text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


UtcTime = Annotated[
    datetime,
    BeforeValidator(_read_time),
    PlainSerializer(utc_text, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-01-31T23:59:59.123456Z"]}),
]


def example(**fields: Any) -> ConfigDict:
    """Configuration of an Input with an example for the documentation."""
    return ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [fields]})


class Input(BaseModel):
    """A body: unknown fields and values of another type are refused, not bent."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Output(BaseModel):
    """A reply."""

    model_config = ConfigDict(extra="forbid")


class Page(Output, Generic[T]):
    """A page of a list; next_cursor is null on the last one."""

    items: list[T]
    next_cursor: str | None
