"""Closer looks at an experiment: journeys, time series, properties, funnel. Values are sums of properties.value."""

from datetime import date
from typing import Literal

from neonblue_api.models.fields import Output, UtcTime

Grain = Literal["hour", "day"]


class JourneyStep(Output):
    timestamp: UtcTime
    event_type: str
    page: str | None
    value: float | None


class Journey(Output):
    """What a user did on a day; steps in time order, the first thousand."""

    user_id: str
    day: date
    variant: str
    events: int
    exposures: int
    clicks: int
    conversions: int
    value: float | None
    first_event_at: UtcTime
    last_event_at: UtcTime
    steps: list[JourneyStep]


class Point(Output):
    """users are distinct within the hour or day; value is null where no event had one or the sum is not finite."""

    at: UtcTime
    variant: str
    event_type: str
    events: int
    users: int
    value: float | None


class TimeSeries(Output):
    """truncated: there are more points; ask for a shorter time or one event type."""

    experiment: str
    grain: Grain
    points: list[Point]
    truncated: bool


class PropertyCell(Output):
    """property_value is null where an event has not the property."""

    variant: str
    property_value: str | None
    events: int
    users: int
    conversions: int
    value: float | None


class Properties(Output):
    """Most events first; truncated: the property has more values."""

    experiment: str
    property: str
    cells: list[PropertyCell]
    truncated: bool


class ReachedStep(Output):
    """rate: of the assigned users; rate_of_previous: of those who reached the step before."""

    event_type: str
    users: int
    rate: float | None
    rate_of_previous: float | None


class FunnelOfVariant(Output):
    variant: str
    control: bool
    users: int
    steps: list[ReachedStep]


class Funnel(Output):
    experiment: str
    variants: list[FunnelOfVariant]
