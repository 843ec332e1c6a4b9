"""What one comparison may say: a model per kind. The JSON schema is generated from these."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .fields import (
    Count,
    EffectField,
    Float,
    Number,
    Positive,
    PValue,
    Rate,
    Reduction,
    SidedField,
    Users,
)

MOST_LOOKS = 500
COVARIATE = ("covariate_sum", "covariate_sum_squares", "covariate_product_sum")
RATIO_COVARIATE = (*COVARIATE, "covariate_denominator_product_sum")
RATIO_SECOND_COVARIATE = (
    "denominator_covariate_sum",
    "denominator_covariate_sum_squares",
    "denominator_covariate_product_sum",
    "denominator_covariate_denominator_product_sum",
    "covariates_product_sum",
)


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, arbitrary_types_allowed=True)


def _all_or_none(model: BaseModel, names: tuple[str, ...]) -> bool:
    """True if all are there, False if none; ValueError that names the missing ones otherwise."""
    missing = [name for name in names if getattr(model, name) is None]
    if len(missing) == len(names):
        return False
    if missing:
        raise ValueError(f"{missing[0]}: is missing; CUPED needs {', '.join(names)} together")
    return True


def check_looks(looks: list[float]) -> None:
    """Increasing fractions above 0 and at most 1, not too many; ValueError that names the first that is not."""
    if not looks:
        raise ValueError("looks: found an empty list; must hold at least one look")
    if len(looks) > MOST_LOOKS:
        raise ValueError(f"looks: found {len(looks)}; must be at most {MOST_LOOKS}")
    before = 0.0
    for i, look in enumerate(looks):
        if not before < look <= 1.0:
            raise ValueError(f"looks.{i}: found {look}; must be above {before:g} and at most 1")
        before = look


class ProportionArm(_Model):
    """Users and how many of them did it; with CUPED, sums of what they did before."""

    n: Count
    sum: Number = Field(description="users who did it, 0 to n")
    covariate_sum: Number | None = None
    covariate_sum_squares: Number | None = None
    covariate_product_sum: Number | None = Field(None, description="sum of covariate × metric over users")
    covariate_shift: Number = Field(0, description="number taken from each covariate value before summing")

    @model_validator(mode="after")
    def _covariate_is_whole(self) -> Self:
        _all_or_none(self, COVARIATE)
        return self


class MeanArm(ProportionArm):
    """Users, the sum of their values and of the squares."""

    sum: Number = Field(description="sum of (value - shift) over users")
    sum_squares: Number = Field(description="sum of (value - shift)² over users")
    shift: Number = Field(0, description="number taken from each value before summing, to keep digits; 0 by default")


class RatioArm(MeanArm):
    """Users, and sums of numerator and denominator per user."""

    denominator_sum: Number
    denominator_sum_squares: Number
    product_sum: Number = Field(description="sum of numerator × denominator over users (each less its shift)")
    denominator_shift: Number = 0
    covariate_denominator_product_sum: Number | None = Field(None, description="sum of covariate × denominator")
    denominator_covariate_sum: Number | None = Field(
        None, description="history of the denominator; the covariate is then the ratio of the two histories"
    )
    denominator_covariate_sum_squares: Number | None = None
    denominator_covariate_product_sum: Number | None = Field(None, description="× numerator")
    denominator_covariate_denominator_product_sum: Number | None = Field(None, description="× denominator")
    covariates_product_sum: Number | None = Field(None, description="sum of covariate × denominator covariate")
    denominator_covariate_shift: Number = 0

    @model_validator(mode="after")
    def _covariates_are_whole(self) -> Self:
        first = _all_or_none(self, RATIO_COVARIATE)
        if _all_or_none(self, RATIO_SECOND_COVARIATE) and not first:
            raise ValueError("covariate_sum: is missing; the denominator's history needs the numerator's beside it")
        return self


class QuantileArm(_Model):
    """Values counted, their quantile and its 95 % interval."""

    n: Count
    value: Float
    low: Float
    high: Float

    @model_validator(mode="after")
    def _value_is_inside(self) -> Self:
        if self.low > self.value:
            raise ValueError(f"low: found {self.low}; must be at most the value {self.value}")
        if self.high < self.value:
            raise ValueError(f"high: found {self.high}; must be at least the value {self.value}")
        return self


class _Request(_Model):
    id: Any = Field(None, description="echoed in the reply; the position (#1, #2, ...) when it is missing")
    alpha: Rate = 0.05
    sided: SidedField = "two"


class _Comparison(_Request):
    effect: EffectField = "relative"
    method: Literal["fixed", "confidence_sequence", "bayesian", "exact", "msprt", "group_sequential"] = "fixed"
    tuning_n: Positive = Field(5000.0, description="confidence_sequence: total users at which it is narrowest")
    prior_mean: Float = Field(0.0, description="bayesian: of the effect, in its unit")
    prior_variance: Positive | None = Field(
        None, description="bayesian: of the effect, in its unit squared; flat prior when missing. msprt: the mixture's"
    )
    direction: Literal["increase", "decrease"] = Field("increase", description="which change is good")
    test: Literal["auto", "barnard", "boschloo", "fisher"] = Field("auto", description="exact: which test")
    looks: list[Float] | None = Field(
        None, description="group_sequential: looks so far as fractions of the final information; the last is now"
    )
    spending: Literal["obrien_fleming", "pocock"] = "obrien_fleming"

    @model_validator(mode="after")
    def _method_has_its_fields(self) -> Self:
        if self.method == "msprt" and self.prior_variance is None:
            raise ValueError("prior_variance: is missing; method 'msprt' needs the variance of its mixture")
        if self.method == "group_sequential":
            if not self.looks:
                raise ValueError("looks: is missing; method 'group_sequential' needs the looks so far")
            check_looks(self.looks)
        if self.method == "confidence_sequence" and self.sided != "two" and self.alpha >= 0.5:
            raise ValueError(f"alpha: found {self.alpha}; a one-sided confidence sequence needs alpha below 0.5")
        return self


class Proportion(_Comparison):
    """Share of users who did something."""

    kind: Literal["proportion"]
    control: ProportionArm
    treatment: ProportionArm


class Mean(_Comparison):
    """Mean per user: revenue, count, time."""

    kind: Literal["mean"]
    control: MeanArm
    treatment: MeanArm


class Ratio(_Comparison):
    """Ratio of two sums over users: revenue per order, clicks per session."""

    kind: Literal["ratio"]
    control: RatioArm
    treatment: RatioArm


class Quantile(_Comparison):
    """Quantile of users' or events' values."""

    kind: Literal["quantile"]
    quantile: Rate
    control: QuantileArm
    treatment: QuantileArm


class SampleRatio(_Request):
    """Does the split match the plan?"""

    kind: Literal["sample_ratio"]
    counts: list[Users] | dict[str, Users]
    weights: list[Positive] | dict[str, Positive] | None = Field(None, description="planned shares; equal when missing")
    method: Literal["auto", "fixed", "exact", "confidence_sequence"] = Field(
        "auto",
        description="auto: exact if a variant expects under 5 users, else fixed (chi-square); "
        "confidence_sequence: valid at every look",
    )


class Multiplicity(_Request):
    """Adjust p-values for their number."""

    kind: Literal["multiplicity"]
    p_values: list[PValue]
    method: Literal["holm", "benjamini_hochberg", "benjamini_yekutieli", "bonferroni"] = "holm"


class _Plan(_Request):
    metric: Literal["mean", "proportion", "ratio"] = "mean"
    mean: Float = Field(description="the control's mean, proportion or ratio")
    variance: Positive | None = Field(None, description="of one user; for a ratio, of the linearised value")
    effect: EffectField = "relative"
    effect_size: Float | None = Field(None, description="the effect to be found, relative or absolute as `effect` says")
    n: Count | None = Field(None, description="users of all variants together")
    variants: Count = Field(2, description="with the control")
    power: Rate = 0.8
    variance_reduction: Reduction = Field(0.0, description="expected from CUPED, 0 to below 1")
    correction: Literal["none", "bonferroni"] = Field("none", description="bonferroni: alpha / (variants - 1)")
    method: Literal["fixed", "confidence_sequence"] = "fixed"
    tuning_n: Positive = 5000.0

    @model_validator(mode="after")
    def _plan_is_possible(self) -> Self:
        if self.variants < 2:
            raise ValueError(f"variants: found {self.variants}; must be 2 or more, the control among them")
        if self.power <= self.alpha:
            raise ValueError(f"power: found {self.power}; must be above alpha, {self.alpha}")
        if self.metric == "proportion":
            if not 0.0 < self.mean < 1.0:
                raise ValueError(f"mean: found {self.mean}; a proportion must be above 0 and below 1")
        elif self.variance is None:
            raise ValueError(f"variance: is missing; metric {self.metric!r} needs it")
        if self.n is not None and self.n < self.variants:
            raise ValueError(f"n: found {self.n}; must be at least one user for each of {self.variants} variants")
        return self


class SampleSize(_Plan):
    """Users needed for an effect and a power; or, from n without effect_size, the smallest effect."""

    kind: Literal["sample_size"]

    @model_validator(mode="after")
    def _has_a_question(self) -> Self:
        if self.effect_size is None and self.n is None:
            raise ValueError("effect_size: is missing; give the effect to be found (or n, for the smallest effect)")
        return self


class Power(_Plan):
    """Power of n users for an effect, and the smallest effect they find."""

    kind: Literal["power"]

    @model_validator(mode="after")
    def _has_users(self) -> Self:
        if self.n is None:
            raise ValueError("n: is missing; give the users of all variants together")
        return self


class SpendingPlan(_Request):
    """Boundaries of a group sequential test."""

    kind: Literal["spending"]
    looks: list[Float] = Field(description="fractions of the final information, increasing, above 0, at most 1")
    spending: Literal["obrien_fleming", "pocock"] = "obrien_fleming"

    @model_validator(mode="after")
    def _looks_increase(self) -> Self:
        check_looks(self.looks)
        return self


KINDS: dict[str, type[_Request]] = {
    "proportion": Proportion,
    "mean": Mean,
    "ratio": Ratio,
    "quantile": Quantile,
    "sample_ratio": SampleRatio,
    "multiplicity": Multiplicity,
    "sample_size": SampleSize,
    "power": Power,
    "spending": SpendingPlan,
}
Request = Proportion | Mean | Ratio | Quantile | SampleRatio | Multiplicity | SampleSize | Power | SpendingPlan
Comparison = Proportion | Mean | Ratio | Quantile
