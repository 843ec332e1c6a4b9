"""Metrics: what is measured of each user."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from neonblue_api.models.experiments import not_empty
from neonblue_api.models.fields import Input, Key, Name, Output, UtcTime, example

Kind = Literal["proportion", "retention", "funnel", "mean", "ratio", "quantile"]
SUMS = ("mean", "ratio", "quantile")
Direction = Literal["increase", "decrease"]
EventType = Annotated[str, Field(min_length=1, max_length=128)]
Property = Annotated[str, Field(min_length=1, max_length=256)]

# A message tells of an experiment with the definitions of all its metrics, and each filter is read for every event.
MOST_BYTES = 64 << 10
# Numbers are compared as doubles, which tell whole ones apart up to here.
LARGEST_WHOLE = 2**53

FilterText = Annotated[str, Field(max_length=256)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Lift = Annotated[float, Field(ge=0, le=1_000_000)]
# A century: what a time can be moved by in ClickHouse ends, too.
Days = Annotated[float, Field(ge=0, le=36_500)]
# The database keeps shares in doubles: nothing is told apart beyond.
Share = Annotated[float, Field(ge=1e-6, le=1 - 1e-6, allow_inf_nan=False)]


class Filter(Input):
    """A condition on a property of the event. An event without the property does not pass."""

    property: Property
    op: Literal["=", "!=", ">", ">=", "<", "<=", "in"] = Field(
        description="`in` takes a list of texts; numbers of `=` and `!=` are within ±2^53."
    )
    value: FilterText | bool | int | Finite | Annotated[list[FilterText], Field(max_length=1_000)]

    @model_validator(mode="after")
    def _value_fits_operator(self) -> "Filter":
        if (self.op == "in") != isinstance(self.value, list):
            raise ValueError("op in takes a list of texts, every other op one value")
        if self.op[0] in "<>" and (isinstance(self.value, bool) or not isinstance(self.value, int | float)):
            raise ValueError(f"op {self.op} compares numbers")
        if self.op in ("=", "!=") and isinstance(self.value, int | float) and abs(self.value) > LARGEST_WHOLE:
            raise ValueError(f"op {self.op} takes numbers within ±2^53, as greater ones equal their neighbours")
        return self


class Window(Input):
    """Days after the assignment in which events count; users are compared once their window is over."""

    from_days: Days = 0
    to_days: Days

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


class Step(Input):
    """A further step of a funnel, which begins with the metric's own event_type and filters."""

    event_type: EventType
    filters: list[Filter] = Field(default_factory=list, max_length=20)


class Definition(Input):
    """What a metric needs further. Fields that are left out are not kept."""

    filters: list[Filter] = Field(default_factory=list, max_length=20)
    window: Window | SkipJsonSchema[None] = None
    cap: Amount | SkipJsonSchema[None] = Field(None, description="The most that the sum of one user counts for.")
    cap_percentile: Share | SkipJsonSchema[None] = Field(
        None,
        description="In place of cap: it lies at this share of all variants' users; 0.99 caps the highest 1 %.",
    )
    ignore_zeros: bool | SkipJsonSchema[None] = Field(
        None, description="Take cap_percentile, or the quantile of users, of those alone whose sum is not 0."
    )
    denominator: Denominator | SkipJsonSchema[None] = None
    quantile: Share | SkipJsonSchema[None] = Field(None, description="Which quantile: 0.5 is the median, 0.99 the p99.")
    of: Literal["events", "users"] | SkipJsonSchema[None] = Field(
        None, description="Whether the quantile is of the events' values (if left out) or of the users' sums of them."
    )
    steps: list[Step] = Field(
        default_factory=list,
        min_length=1,
        max_length=19,
        description="Of a funnel, the steps after the first, in their order.",
    )
    margin: Lift | SkipJsonSchema[None] = Field(
        None, description="As a guardrail: the share of the control's mean that may be lost; 0.01 if left out."
    )
    minimum_effect: Lift | SkipJsonSchema[None] = Field(None, description="As a target: the lift worth finding.")

    @model_validator(mode="after")
    def _is_not_too_large(self) -> "Definition":
        size = len(self.kept().encode())
        if size > MOST_BYTES:
            raise ValueError(f"has {size} bytes; at most {MOST_BYTES} are allowed")
        return self

    def kept(self) -> str:
        """As JSON, without what was left out."""
        return self.model_dump_json(exclude_unset=True, exclude_none=True)


# Field of a definition → the kinds that may have it, and those that need it.
_KINDS_OF: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "cap": (("mean", "ratio"), ()),
    "cap_percentile": (("mean", "ratio"), ()),
    "ignore_zeros": (("mean", "ratio", "quantile"), ()),
    "denominator": (("ratio",), ("ratio",)),
    "quantile": (("quantile",), ("quantile",)),
    "of": (("quantile",), ()),
    "steps": (("funnel",), ("funnel",)),
    "window": (("proportion", "retention", "funnel", "mean", "ratio", "quantile"), ("retention",)),
}
_NEEDED = {
    "denominator": "a ratio needs it: what the sum is divided by",
    "quantile": "a quantile needs it: its level, 0.9 for the p90",
    "steps": "a funnel needs it: the steps after the first",
    "window": "a retention needs it: the days after the assignment in which users return",
}


class Problem(NamedTuple):
    """A field of a metric that its kind does not know or lacks: its place, what was found, the rule."""

    field: str
    found: Any
    rule: str


def problems(kind: str, value: str | None, definition: Definition | None) -> Iterator[Problem]:
    """What a kind does not know or lacks; each field alone is well formed. A definition of None is not looked at."""
    if value is not None and kind not in SUMS:
        yield Problem("value", value, f"value is for metrics of kind {', '.join(SUMS)}; this is a {kind}")
    if definition is None:
        return
    for name, (known, needed) in _KINDS_OF.items():
        found = getattr(definition, name) or None
        if found is None and kind in needed:
            yield Problem(f"definition.{name}", None, f"definition.{name} is missing; {_NEEDED[name]}")
        elif found is not None and kind not in known:
            yield Problem(
                f"definition.{name}",
                definition.model_dump(mode="json", exclude_unset=True)[name],
                f"definition.{name} is for metrics of kind {', '.join(known)}; this is a {kind}: leave it out",
            )
    if definition.cap is not None and definition.cap_percentile is not None:
        yield Problem(
            "definition.cap_percentile", definition.cap_percentile, "a metric has cap or cap_percentile, not both"
        )
    if definition.ignore_zeros and kind in ("mean", "ratio") and definition.cap_percentile is None:
        yield Problem("definition.ignore_zeros", True, "ignore_zeros belongs to cap_percentile, which is missing")
    if definition.ignore_zeros and kind == "quantile" and definition.of != "users":
        yield Problem("definition.ignore_zeros", True, "ignore_zeros is for a quantile of users; set of to users")


class MetricIn(Input):
    """What is measured of each user.

    `proportion`: users with at least one event. `retention`: the same within `definition.window`. `funnel`: users who
    did this event and then `definition.steps`, in that order. `mean`: sum of the property `value`; users without events
    count as 0. `ratio`: sum of `value`, or number of events if it is left out, divided by that of
    `definition.denominator`, over all users together. `quantile`: `definition.quantile` of the values of all events, or
    of the users' sums.
    """

    model_config = example(key="returned_on_day_7", kind="proportion", event_type="day_7_return")

    key: Key
    name: Name = ""
    kind: Kind
    event_type: EventType
    value: Property | None = Field(
        None, description='Property that is summed. Left out: "value" for a mean and a quantile; a ratio counts events.'
    )
    direction: Direction = Field("increase", description="Which way is better.")
    definition: Definition = Field(default_factory=lambda: Definition.model_validate({}))


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
