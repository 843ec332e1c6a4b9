"""Metrics: what is measured of each user."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from neonblue_api.models.experiments import not_empty
from neonblue_api.models.fields import Input, Key, Name, Output, UtcTime, example

Kind = Literal["proportion", "mean"]
Direction = Literal["increase", "decrease"]
EventType = Annotated[str, Field(min_length=1, max_length=128)]
Property = Annotated[str, Field(min_length=1, max_length=256)]


class MetricIn(Input):
    """`proportion`: users with at least one event. `mean`: sum of the property `value` per user; none counts as 0."""

    model_config = example(key="retention_7", kind="proportion", event_type="day_7_return")

    key: Key
    name: Name = ""
    kind: Kind
    event_type: EventType
    value: Property | None = Field(None, description='Property that a mean sums; "value" if left out.')
    direction: Direction = Field("increase", description="Which way is better.")
    definition: dict[str, Any] = Field(default_factory=dict, description="What a kind needs further.")

    @model_validator(mode="after")
    def _value_fits_kind(self) -> "MetricIn":
        if self.value is not None and self.kind != "mean":
            raise ValueError(f"value is for metrics of kind mean; this is a {self.kind}")
        return self


class MetricChange(Input):
    """What is left out stays. Once an experiment that uses it has begun, only name and direction change."""

    model_config = example(name="Back after 7 days")

    name: Name | SkipJsonSchema[None] = None
    event_type: EventType | SkipJsonSchema[None] = None
    value: Property | SkipJsonSchema[None] = None
    direction: Direction | SkipJsonSchema[None] = None
    definition: dict[str, Any] | SkipJsonSchema[None] = None

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
