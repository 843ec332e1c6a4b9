"""Metrics: what is measured of each user."""

from typing import Any, Literal

from pydantic import Field, model_validator

from neonblue_api.models.experiments import not_empty
from neonblue_api.models.fields import Input, Key, Name, Output, UtcTime, example

Kind = Literal["proportion", "mean"]
Direction = Literal["increase", "decrease"]


class MetricIn(Input):
    """`proportion`: users with at least one event. `mean`: sum of the property `value` per user; none counts as 0."""

    model_config = example(key="retention_7", kind="proportion", event_type="day_7_return")

    key: Key
    name: Name = ""
    kind: Kind
    event_type: str = Field(min_length=1, max_length=128)
    value: str | None = Field(
        None, min_length=1, max_length=256, description='Property that a mean sums; "value" if left out.'
    )
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

    name: Name | None = None
    event_type: str | None = Field(None, min_length=1, max_length=128)
    value: str | None = Field(None, min_length=1, max_length=256)
    direction: Direction | None = None
    definition: dict[str, Any] | None = None

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
