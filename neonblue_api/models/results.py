"""The published result of an experiment, and its live summary. Fields are extended, never renamed."""

from neonblue_api.models.fields import Output, UtcTime


class SampleRatio(Output):
    """Users by variant, and whether they are split as planned."""

    counts: dict[str, int]
    p_value: float | None
    mismatch: bool | None


class Effect(Output):
    """Difference to the control with its interval, in the metric's unit (absolute) or as a share (relative)."""

    estimate: float | None
    low: float | None
    high: float | None
    p_value: float | None


class VariantResult(Output):
    variant: str
    control: bool
    users: int | None
    sum: float | None
    mean: float | None
    absolute: Effect | None = None
    relative: Effect | None = None


class MetricResult(Output):
    metric: str
    kind: str
    variants: list[VariantResult]


class Results(Output):
    """null stands for what was not measured; warnings say why."""

    experiment: str
    status: str
    as_of: UtcTime | None
    sample_ratio: SampleRatio
    metrics: list[MetricResult]
    warnings: list[str]


class VariantSummary(Output):
    """users: assigned; unique_users: with an event that counts; conversion_rate: converted_users of users."""

    variant: str
    control: bool
    users: int
    unique_users: int
    exposed_users: int
    converted_users: int
    conversion_rate: float | None
    events: int
    exposures: int
    clicks: int
    conversions: int
    value: float
    last_event_at: UtcTime | None


class Summary(Output):
    experiment: str
    status: str
    variants: list[VariantSummary]
    warnings: list[str]
