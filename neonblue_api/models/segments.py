"""Results by dimension, and results over time."""

from typing import Literal

from neonblue_api.models.fields import Output, UtcTime
from neonblue_api.models.results import Effect, Interval

HistoryStep = Literal["cutoff", "hour", "day"]


class SegmentResult(Output):
    """One treatment among the users of one segment.

    adjusted_p_value: of the absolute effect, by Holm over the experiment's target and secondary metrics × treatments ×
    dimensions × segments; null for a guardrail. sequential: the lift's confidence sequence, valid at every look.
    """

    segment: str
    control_users: int | None
    users: int
    control_mean: float | None
    mean: float | None
    absolute: Effect
    relative: Effect
    sequential: Interval
    adjusted_p_value: float | None


class SegmentedMetric(Output):
    """One metric and treatment by one dimension.

    interaction_p_value: of one and the same lift in all segments (Cochran's Q); adjusted by Holm over the experiment's
    metrics × treatments × dimensions. differs: that is below 0.01. stratified: the effect on all users with chance
    imbalance between segments taken out (post-stratification), and the variance this removed; null where a segment may
    have been changed by the variant (it was seen in an event) and for ratios.
    """

    metric: str
    variant: str
    segments: list[SegmentResult]
    interaction_p_value: float | None
    interaction_adjusted_p_value: float | None
    differs: bool
    stratified_absolute: Effect
    stratified_relative: Effect
    stratified_variance_removed: float | None


class SegmentSplit(Output):
    """Sample ratio among the users of a segment: users by variant, p-value adjusted by Holm over all segments."""

    segment: str
    counts: dict[str, int]
    p_value: float | None
    mismatch: bool


class Dimension(Output):
    """A key of the assignments' attributes, or device and browser of the user's first event that names one.

    An attribute goes before the event. known_before: it comes from attributes alone, so no variant can have changed it.
    Segment '' are users of whom it is not known, '(other)' those of values beyond the ten commonest.
    """

    dimension: str
    known_before: bool | None
    sample_ratio: list[SegmentSplit]
    metrics: list[SegmentedMetric]


class SegmentedResults(Output):
    """Without a dimension that has segments the list is empty, and a warning says so."""

    experiment: str
    as_of: UtcTime | None
    dimensions: list[Dimension]
    warnings: list[str]


class HistoryPoint(Output):
    """One metric and treatment at one cut-off, with the figures it was published with then."""

    as_of: UtcTime
    metric: str
    variant: str
    users: int
    mean: float | None
    absolute: Effect
    relative: Effect
    sequential: Interval
    adjusted_p_value: float | None
    decisive_p_value: float | None
    power: float | None


class History(Output):
    """Oldest first. truncated: there are older cut-offs."""

    experiment: str
    step: HistoryStep
    points: list[HistoryPoint]
    truncated: bool
