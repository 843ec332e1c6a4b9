"""Experiments, their variants, metrics in use and phases."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from neonblue_api.models.fields import Input, Key, Name, Output, UtcTime, Weight, example

Status = Literal["draft", "running", "stopped", "archived"]
Role = Literal["target", "secondary", "guardrail"]
Description = Annotated[str, Field(max_length=10_000)]
Seed = Annotated[str, Field(min_length=1, max_length=256)]
Coverage = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class VariantIn(Input):
    """A variant; weights are given for all variants of an experiment or for none (an even split)."""

    model_config = example(key="gate_40", name="Gate at level 40", weight=0.5)

    key: Key
    name: Name = ""
    weight: Weight | None = None
    is_control: bool | None = None


class VariantChange(Input):
    model_config = example(name="Gate at level 40")

    name: Name | SkipJsonSchema[None] = None
    weight: Weight | SkipJsonSchema[None] = None
    is_control: bool | SkipJsonSchema[None] = None

    @model_validator(mode="after")
    def _changes_something(self) -> "VariantChange":
        return not_empty(self)


class MetricUse(Input):
    """A metric in an experiment, by its key; a plain key stands for one with the role of a target."""

    key: Key
    role: Role = "target"


def _key_to_use(value: Any) -> Any:
    return {"key": value} if isinstance(value, str) else value


Variants = Annotated[list[VariantIn], Field(max_length=100)]
NamedOrUsed = Annotated[MetricUse, BeforeValidator(_key_to_use, json_schema_input_type=Key | MetricUse)]
MetricUses = Annotated[list[NamedOrUsed], Field(max_length=200)]


class ExperimentIn(Input):
    """A new experiment, a draft. The first variant is the control unless another is marked."""

    model_config = example(
        key="checkout_button",
        name="First gate at level 30 or 40",
        variants=[{"key": "gate_30", "weight": 0.5, "is_control": True}, {"key": "gate_40", "weight": 0.5}],
        metrics=["returned_on_day_7"],
    )

    key: Key
    name: Name = ""
    description: Description = ""
    seed: Seed | None = Field(None, description="Of the hash that buckets users; the key if left out.")
    coverage: Coverage = 1.0
    variants: Variants = Field(default_factory=list)
    metrics: MetricUses = Field(default_factory=list)


class ExperimentChange(Input):
    """What is left out stays. Once begun, only name and description change."""

    model_config = example(description="Does a later gate keep players?")

    name: Name | SkipJsonSchema[None] = None
    description: Description | SkipJsonSchema[None] = None
    seed: Seed | SkipJsonSchema[None] = None
    coverage: Coverage | SkipJsonSchema[None] = None
    variants: Variants | SkipJsonSchema[None] = None
    metrics: MetricUses | SkipJsonSchema[None] = None

    @model_validator(mode="after")
    def _changes_something(self) -> "ExperimentChange":
        return not_empty(self)


class Start(Input):
    model_config = example(started_at="2026-01-31T00:00:00Z")

    started_at: UtcTime | None = Field(None, description="Start of the run, not in the future; now if left out.")


class PhaseIn(Input):
    """Other weights or coverage for users who are not assigned yet; those who are keep their variant."""

    model_config = example(weights={"gate_30": 0.1, "gate_40": 0.9}, reason="gate_40 did no harm")

    weights: dict[Key, Weight] | None = Field(None, description="One for every variant; they sum to 1.")
    coverage: Coverage | None = None
    reason: str = Field(min_length=1, max_length=1000)


class Variant(Output):
    key: str
    name: str
    weight: float
    is_control: bool


class Phase(Output):
    phase: int
    began_at: UtcTime
    ended_at: UtcTime | None
    coverage: float
    weights: dict[str, float]
    reason: str


class MetricOfExperiment(Output):
    key: str
    role: Role


class Experiment(Output):
    key: str
    name: str
    description: str
    status: Status
    seed: str
    coverage: float
    phase: int
    revision: int
    started_at: UtcTime | None
    stopped_at: UtcTime | None
    created_at: UtcTime
    updated_at: UtcTime
    variants: list[Variant]
    metrics: list[MetricOfExperiment]


def not_empty(model: Any) -> Any:
    if not model.model_fields_set:
        raise ValueError("names no field to change")
    nulls = sorted(name for name in model.model_fields_set if getattr(model, name) is None)
    if nulls:
        raise ValueError(f"{', '.join(nulls)} must not be null; leave out what stays as it is")
    return model
