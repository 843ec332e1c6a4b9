"""Metrics: what is measured of each user."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from neonblue_api.models.experiments import not_empty
from neonblue_api.models.fields import Input, Key, Name, Output, UtcTime, example

Kind = Literal["proportion", "retention", "mean", "ratio"]
Direction = Literal["increase", "decrease"]
EventType = Annotated[str, Field(min_length=1, max_length=128)]
Property = Annotated[str, Field(min_length=1, max_length=256)]


Count = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Filter(Input):
    """A condition on a property of the event. An event without the property does not pass."""

    property: Property
    op: Literal["=", "!=", ">", ">=", "<", "<=", "in"] = Field(description="`in` takes a list of texts.")
    value: str | bool | int | Annotated[float, Field(allow_inf_nan=False)] | list[str]

    @model_validator(mode="after")
    def _value_fits_operator(self) -> "Filter":
        if (self.op == "in") != isinstance(self.value, list):
            raise ValueError("op in takes a list of texts, every other op one value")
        if self.op[0] in "<>" and (isinstance(self.value, bool) or not isinstance(self.value, int | float)):
            raise ValueError(f"op {self.op} compares numbers")
        return self


class Window(Input):
    """Days after the assignment in which events count; users are compared once their window is over."""

    from_days: Count = 0
    to_days: Count

    @model_validator(mode="after")
    def _has_a_length(self) -> "Window":
        if not self.from_days < self.to_days:
            raise ValueError("to_days must be above from_days")
        return self


class Denominator(Input):
    """What the numerator of a ratio is divided by."""

    event_type: EventType
    value: Property | None = Field(None, description="Property that is summed; events are counted if left out.")
    filters: list[Filter] = Field(default_factory=list, max_length=20)


class Definition(Input):
    """What a metric needs further. Fields that are left out are not kept."""

    filters: list[Filter] = Field(default_factory=list, max_length=20)
    window: Window | SkipJsonSchema[None] = None
    cap: Count | SkipJsonSchema[None] = Field(None, description="The most that the sum of one user counts for.")
    denominator: Denominator | SkipJsonSchema[None] = None
    margin: Count | SkipJsonSchema[None] = Field(
        None, description="As a guardrail: the share of the control's mean that may be lost; 0.01 if left out."
    )
    minimum_effect: Count | SkipJsonSchema[None] = Field(None, description="As a target: the lift worth finding.")


def check_definition(kind: str, definition: Definition) -> None:
    """Raises ValueError for a field that the kind does not know or lacks."""
    if definition.cap is not None and kind not in ("mean", "ratio"):
        raise ValueError(f"definition.cap is for metrics of kind mean and ratio; this is a {kind}")
    if (definition.denominator is not None) != (kind == "ratio"):
        raise ValueError("definition.denominator is needed by a ratio and by no other kind")
    if kind == "retention" and definition.window is None:
        raise ValueError("a retention needs definition.window: the days after the assignment in which users return")


class MetricIn(Input):
    """What is measured of each user.

    `proportion`: users with at least one event. `retention`: the same within `definition.window`. `mean`: sum of the
    property `value`; users without events count as 0. `ratio`: sum of `value`, or number of events if it is left out,
    divided by that of `definition.denominator`, over all users together.
    """

    model_config = example(key="returned_on_day_7", kind="proportion", event_type="day_7_return")

    key: Key
    name: Name = ""
    kind: Kind
    event_type: EventType
    value: Property | None = Field(
        None, description='Property that is summed. Left out: "value" for a mean; a ratio counts events.'
    )
    direction: Direction = Field("increase", description="Which way is better.")
    definition: Definition = Field(default_factory=lambda: Definition.model_validate({}))

    @model_validator(mode="after")
    def _value_fits_kind(self) -> "MetricIn":
        if self.value is not None and self.kind not in ("mean", "ratio"):
            raise ValueError(f"value is for metrics of kind mean and ratio; this is a {self.kind}")
        check_definition(self.kind, self.definition)
        return self


class MetricChange(Input):
    """What is left out stays. Once an experiment that uses it has begun, only name and direction change."""

    model_config = example(name="Back after 7 days")

    name: Name | SkipJsonSchema[None] = None
    event_type: EventType | SkipJsonSchema[None] = None
    value: Property | SkipJsonSchema[None] = None
    direction: Direction | SkipJsonSchema[None] = None
    definition: Definition | SkipJsonSchema[None] = None

    @model_validator(mode="after")
    def _changes_something(self) -> "MetricChange":
        return not_empty(self)


class Metric(Output):
    key: str
    name: str
    kind: str
    event_type: str
    value: str | None
    direction: Direction
    definition: dict[str, Any]
    revision: int
    created_at: UtcTime
    updated_at: UtcTime
