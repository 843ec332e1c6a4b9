"""Answers to comparisons of two variants: proportion, mean, ratio, quantile, by every method."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..anytime import confidence_sequence, msprt
from ..bayesian import gaussian_posterior
from ..cuped import cuped
from ..effect import Effect
from ..errors import InvalidInput
from ..exact import exact_proportions, needs_exact
from ..fieller import fieller
from ..group_sequential import group_sequential
from ..means import welch
from ..moments import Moments
from ..proportions import binomial, two_proportion_z
from ..quantiles import Quantile as QuantileValue
from ..quantiles import quantile_effect
from ..ratios import ratio_moments
from ..relative import relative_lift
from .request import Comparison, Mean, Proportion, Quantile, Ratio
from .sums import Arm, mean_arm, proportion_arm, ratio_arm

Reply = dict[str, Any]


class _Base(NamedTuple):
    """The fixed-look effect that every method starts from."""

    effect: Effect
    control_mean: float
    treatment_mean: float
    n: int
    extra: Reply
    warnings: list[str]


def compare(request: Comparison) -> Reply:
    """Reply of one comparison: numbers, nan or inf where undefined or unbounded, and the warnings that explain them.

    Raises InvalidInput for sums that no data can have, with the field's path.
    """
    base = _quantile_base(request) if isinstance(request, Quantile) else _sums_base(request)
    if request.method == "exact":
        return _exact(request, base)
    answer = _by_method(request, base)
    return _finish(request, base, answer)


def _sums_base(request: Proportion | Mean | Ratio) -> _Base:
    c, t = _arms(request)
    warnings = c.warnings + t.warnings
    if c.covariates != t.covariates:
        fewer = "control" if c.covariates < t.covariates else "treatment"
        raise InvalidInput(f"{fewer}.covariate_sum", "is missing; CUPED needs the covariate's sums in both variants")
    relative = request.effect == "relative"
    normal = isinstance(request, Proportion) and not c.covariates
    n = int(request.control.n + request.treatment.n)
    extra: Reply = {}
    if c.covariates:
        adjusted = cuped(
            c.moments, t.moments, request.alpha, relative=relative, sided=request.sided,
            kind="ratio" if isinstance(request, Ratio) else "mean",
        )  # fmt: skip
        extra = {"theta": float(adjusted.theta), "variance_reduction": float(adjusted.variance_reduction)}
        if extra["theta"] == 0.0:
            warnings.append("theta is 0: the covariate does not vary with the metric, so the plain result is given")
        means = _plain_means(request, c, t)
        _warn_of_means(request, *means, warnings)
        return _Base(adjusted.effect, float(adjusted.control_mean), float(adjusted.treatment_mean), n, extra, warnings)
    control, treatment = _plain_means(request, c, t)
    if relative:
        effect = relative_lift(control, treatment, request.alpha, sided=request.sided, normal=normal)
    elif normal:
        effect = two_proportion_z(control, treatment, request.alpha, sided=request.sided)
    else:
        effect = welch(control, treatment, request.alpha, sided=request.sided)
    if relative and request.method == "fixed":
        bounds = fieller(control, treatment, request.alpha, sided=request.sided, normal=normal)
        extra = {"fieller_low": float(bounds.low), "fieller_high": float(bounds.high)}
        if not bounds.bounded and np.isfinite(effect.p_value):
            warnings.append(
                "the control's mean cannot be told from 0: Fieller's interval of the lift is unbounded, "
                "and the delta method's is not to be trusted; ask for effect 'absolute'"
            )
    _warn_of_means(request, control, treatment, warnings)
    if isinstance(request, Proportion) and request.method == "fixed":
        x_c, x_t = int(request.control.sum), int(request.treatment.sum)
        if needs_exact(request.control.n, x_c, request.treatment.n, x_t):
            warnings.append("fewer than 5 successes or failures are expected in a variant: use method 'exact'")
    return _Base(effect, float(control.mean), float(treatment.mean), n, extra, warnings)


def _arms(request: Proportion | Mean | Ratio) -> tuple[Arm, Arm]:
    if isinstance(request, Ratio):
        return ratio_arm(request.control, "control"), ratio_arm(request.treatment, "treatment")
    if isinstance(request, Mean):
        return mean_arm(request.control, "control"), mean_arm(request.treatment, "treatment")
    return proportion_arm(request.control, "control"), proportion_arm(request.treatment, "treatment")


def _plain_means(request: Proportion | Mean | Ratio, c: Arm, t: Arm) -> tuple[Moments, Moments]:
    if isinstance(request, Ratio):
        return ratio_moments(c.moments), ratio_moments(t.moments)
    if isinstance(request, Proportion) and not c.covariates:
        control, treatment = request.control, request.treatment
        return binomial(control.n, int(control.sum)), binomial(treatment.n, int(treatment.sum))
    return c.moments.variable(0), t.moments.variable(0)


def _warn_of_means(
    request: Proportion | Mean | Ratio, control: Moments, treatment: Moments, warnings: list[str]
) -> None:
    """Say why figures will be null, before they are."""
    for name, arm, group in (("control", request.control, control), ("treatment", request.treatment, treatment)):
        if arm.n < 2 and not isinstance(request, Proportion):
            warnings.append(f"{name}: a variance needs at least 2 users, found {arm.n}")
        if isinstance(request, Ratio) and np.isnan(group.mean):
            warnings.append(f"{name}: the denominator's mean is 0, so the ratio is undefined")
    if request.effect == "relative" and control.mean == 0.0:
        warnings.append("the control's mean is 0, so a relative effect is undefined: ask for effect 'absolute'")
    if control.var == 0.0 and treatment.var == 0.0:
        warnings.append("nothing varies: within each variant all values are equal, so there is no test or interval")


def _quantile_base(request: Quantile) -> _Base:
    c, t = request.control, request.treatment
    if request.method == "exact":
        raise InvalidInput("method", "found 'exact'; exact tests are for kind 'proportion'")
    control, treatment = (
        QuantileValue(*(np.asarray(v, dtype=np.float64) for v in (a.n, a.value, a.low, a.high))) for a in (c, t)
    )
    effect = quantile_effect(
        control, treatment, request.alpha, relative=request.effect == "relative", sided=request.sided
    )
    warnings = []
    if request.effect == "relative" and c.value == 0.0:
        warnings.append("the control's quantile is 0, so a relative effect is undefined: ask for effect 'absolute'")
    if c.low == c.high and t.low == t.high:
        warnings.append("both 95 % intervals have no width, so there is no test or interval")
    for name, arm in (("control", c), ("treatment", t)):
        tail = min(request.quantile, 1.0 - request.quantile)
        if arm.n * tail < 3.84 * (1.0 - tail):
            warnings.append(
                f"{name}: {arm.n} values are too few for the {request.quantile:g} quantile; its interval reaches "
                "past the last value"
            )
    return _Base(effect, c.value, t.value, int(c.n + t.n), {}, warnings)


def _by_method(request: Comparison, base: _Base) -> Reply:
    e = base.effect
    if request.method == "fixed":
        return _numbers(e)
    if request.method == "confidence_sequence":
        return _numbers(
            confidence_sequence(
                e.estimate, e.standard_error, base.n, request.alpha, tuning_n=request.tuning_n, sided=request.sided
            )
        )
    if request.method == "msprt":
        return _numbers(
            msprt(e.estimate, e.standard_error, request.prior_variance or 0.0, request.alpha, sided=request.sided)
        )
    if request.method == "group_sequential":
        looks = [float(look) for look in request.looks or []]
        return _numbers(
            group_sequential(e.estimate, e.standard_error, looks, request.alpha, request.spending, sided=request.sided)
        )
    posterior = gaussian_posterior(
        e.estimate,
        e.standard_error,
        request.alpha,
        prior_mean=request.prior_mean,
        prior_variance=np.inf if request.prior_variance is None else request.prior_variance,
        sided=request.sided,
        higher_is_better=request.direction == "increase",
    )
    base.warnings.append("p_value is null: a Bayesian analysis has none; see chance_to_win and expected_loss")
    return {
        "estimate": float(posterior.estimate),
        "standard_error": float(posterior.standard_error),
        "low": float(posterior.low),
        "high": float(posterior.high),
        "p_value": float("nan"),
        "chance_to_win": float(posterior.chance_to_win),
        "expected_loss": float(posterior.expected_loss),
    }


def _numbers(effect: Effect) -> Reply:
    return {
        "estimate": float(effect.estimate),
        "standard_error": float(effect.standard_error),
        "low": float(effect.low),
        "high": float(effect.high),
        "p_value": float(effect.p_value),
    }


def _exact(request: Comparison, base: _Base) -> Reply:
    if not isinstance(request, Proportion):
        raise InvalidInput("method", f"found 'exact'; exact tests are for kind 'proportion', not {request.kind!r}")
    if base.extra:
        raise InvalidInput("method", "found 'exact' together with a covariate; exact tests take counts alone")
    result = exact_proportions(
        request.control.n, int(request.control.sum), request.treatment.n, int(request.treatment.sum),
        request.alpha, sided=request.sided, relative=request.effect == "relative", test=request.test,
    )  # fmt: skip
    answer = {
        "estimate": result.estimate,
        "standard_error": float(base.effect.standard_error),
        "low": result.low,
        "high": result.high,
        "p_value": result.p_value,
        "test": result.test,
    }
    # an exact test needs no variance: what stops the z test does not stop it
    warnings = [w for w in base.warnings if not w.startswith("nothing varies")]
    if result.test != "barnard":
        warnings.append(f"low and high are null: the {result.test.capitalize()} test has no interval of the effect")
    if answer["standard_error"] == 0.0:
        warnings.append("standard_error is 0 as nothing varies in the sample; the exact interval does not use it")
    return _finish(request, base._replace(warnings=warnings), answer)


def _finish(request: Comparison, base: _Base, answer: Reply) -> Reply:
    if request.sided != "two" and np.isinf(answer["low" if request.sided == "less" else "high"]):
        end = "low" if request.sided == "less" else "high"
        base.warnings.append(
            f"{end} is null: the interval of a one-sided test ({request.sided!r}) is open on that side"
        )
    return {
        "id": request.id,
        "kind": request.kind,
        "method": request.method,
        "effect": request.effect,
        **answer,
        **base.extra,
        "control_mean": base.control_mean,
        "treatment_mean": base.treatment_mean,
        "n": base.n,
        "warnings": base.warnings,
    }
