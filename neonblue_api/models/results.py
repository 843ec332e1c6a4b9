"""The published result of an experiment, and its live summary. Fields are extended, never renamed."""

from typing import Literal

from pydantic import Field

from neonblue_api.models.fields import Output, UtcTime


class PhaseSplit(Output):
    """Users and planned weights by variant, from one change of weights to the next; p_value of its own split."""

    phase: int
    users: dict[str, int]
    weights: dict[str, float]
    p_value: float | None


class SampleRatio(Output):
    """Users by variant, and whether they are split as planned.

    p_value: chi-square, each phase's users against the weights of that phase. anytime_p_value: the same question, by a
    test that holds at every look together. crossed_users: seen in several variants, left out of counts and results;
    crossed_share: of all users, warned of above 0.01.
    """

    counts: dict[str, int]
    p_value: float | None
    mismatch: bool | None
    anytime_p_value: float | None = None
    phases: list[PhaseSplit] = Field(default_factory=list)
    crossed_users: int = 0
    crossed_share: float | None = None


class Effect(Output):
    """Difference to the control with its interval, in the metric's unit (absolute) or as a share (relative)."""

    estimate: float | None
    low: float | None
    high: float | None
    p_value: float | None


class Interval(Output):
    """Interval and p-value of an effect whose estimate stands beside it, in the same unit."""

    low: float | None
    high: float | None
    p_value: float | None


class Sequential(Output):
    """A confidence sequence: unlike the fixed interval it holds at every look together, so it may be read at any time.

    relative: has the p-value of the difference, and no ends where the control's mean cannot be told from 0.
    adjusted_p_value: by Holm over the experiment's target and secondary metrics × treatments; null for a guardrail.
    """

    absolute: Interval
    relative: Interval
    adjusted_p_value: float | None


class Posterior(Output):
    """Credible interval; probability that the treatment is better; average loss by shipping it, in the same unit."""

    low: float | None
    high: float | None
    chance_to_win: float | None
    expected_loss: float | None


class Bayesian(Output):
    """Posterior of the effect under a flat prior; better is what the metric's direction says."""

    absolute: Posterior
    relative: Posterior


class Cuped(Output):
    """The effects after taking away what users did before: the same metric, 14 days before the assignment.

    Users without such a history count as 0. variance_removed: 0.4 saves 40 % of the users. All null without history.
    sequential_*: confidence sequences of the adjusted effect; where there is one, decisions read it.
    pre_period_p_value: of no difference before the assignment.
    """

    absolute: Effect
    relative: Effect
    variance_removed: float | None
    sequential_absolute: Interval | None = None
    sequential_relative: Interval | None = None
    pre_period_p_value: float | None = None


class Planning(Output):
    """Where the comparison stands, by the confidence sequence that decides, at the level that Holm leaves to it.

    minimum_effect: the lift worth finding, of the metric's definition. power: to show it with the users so far.
    detectable_effect: the smallest lift shown with 80 % power by the users so far. users_needed: of control and
    treatment together, for 80 % power. days_left: until they are there at the pace of the last seven days, and their
    window is over; null where nobody said which effect is worth finding, nobody comes, or the experiment has ended.
    """

    minimum_effect: float | None
    power: float | None
    detectable_effect: float | None
    users_needed: float | None
    days_left: float | None


class QuantileOfVariant(Output):
    """A quantile of one variant: its level, the number of values (events, or users), the value, its 95 % interval.

    The interval is null where the values are too few for that level.
    """

    quantile: float | None
    n: int
    value: float | None
    low: float | None
    high: float | None


class FunnelStep(Output):
    """A step of a funnel: users who did it after those before, as a share of all and of those who did the step before.

    Effects on both shares, for a treatment. Decide on the share of all: who is in the other's denominator was already
    chosen by the treatment, so that one explains.
    """

    event_type: str
    users: int
    of_all: float | None
    of_previous: float | None
    absolute: Effect | None = None
    absolute_of_previous: Effect | None = None


class VariantResult(Output):
    """A variant in numbers; for a treatment its effects by every method.

    users: those compared; a metric with a window leaves out users whose window is open. history_users: those of them
    with events before the assignment. mean: sum / denominator_sum for a ratio, else sum / users. adjusted_p_value: of
    the absolute effect, by Holm as in `sequential`. decisive_p_value: as sequential.adjusted_p_value, of the sequences
    that decisions read: CUPED's where there is one. test: what gave the fixed p-values: z, welch, delta, quantile,
    barnard or fisher (both exact, for small counts). quantile, funnel: of a metric of that kind.
    """

    variant: str
    control: bool
    users: int | None
    history_users: int | None = None
    sum: float | None
    denominator_sum: float | None = None
    mean: float | None
    absolute: Effect | None = None
    relative: Effect | None = None
    adjusted_p_value: float | None = None
    sequential: Sequential | None = None
    bayesian: Bayesian | None = None
    cuped: Cuped | None = None
    decisive_p_value: float | None = None
    planning: Planning | None = None
    test: str | None = None
    quantile: QuantileOfVariant | None = None
    funnel: list[FunnelStep] | None = None


class MetricResult(Output):
    """cap: the most that a user's sum counted for, as the definition says or at its percentile; null for none."""

    metric: str
    kind: str
    variants: list[VariantResult]
    cap: float | None = None


class Decision(Output):
    """What to do with a treatment, why, and what would change it. From the sequential intervals: read it at any time.

    A guardrail is held to `margin` of its metric's definition (a share of the control's mean, 0.01 if left out), a
    target to `minimum_effect`, the lift worth finding.
    """

    variant: str
    verdict: Literal["ship", "roll_back", "keep_running", "no_effect", "not_trusted"]
    reasons: list[str]
    would_change: list[str]


class Results(Output):
    """null stands for what was not measured; warnings say why."""

    experiment: str
    status: str
    as_of: UtcTime | None
    sample_ratio: SampleRatio
    metrics: list[MetricResult]
    decisions: list[Decision]
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
