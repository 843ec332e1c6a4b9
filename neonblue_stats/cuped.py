"""CUPED: the comparison after taking away what users already did before the experiment."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from .effect import Effect, FloatArray, Sided, t_effect
from .errors import InvalidInput
from .fieller import Contrast
from .joint import JointMoments
from .means import welch_df
from .moments import Moments
from .ratios import ratio_gradient, ratio_moments


class Cuped(NamedTuple):
    """Adjusted effect, and what the adjustment did; fields of shape (k,).

    Attributes:
        effect: as for the plain comparison, with the adjusted estimate, standard error and degrees of freedom.
        theta: slope of the metric on the covariate over both variants together; 0 where the covariate does not vary.
        variance_reduction: 1 - var(adjusted difference)/var(plain difference); 0.4 saves 40 % of the users.
        control_mean, treatment_mean: adjusted means, at the covariate's mean over both variants.
        contrast: the adjusted difference and the control's plain mean, from which sequences of the lift are made.
    """

    effect: Effect
    theta: FloatArray
    variance_reduction: FloatArray
    control_mean: FloatArray
    treatment_mean: FloatArray
    contrast: Contrast


def cuped(
    control: JointMoments,
    treatment: JointMoments,
    alpha: float = 0.05,
    *,
    relative: bool = False,
    sided: Sided = "two",
    kind: Literal["mean", "ratio"] = "mean",
) -> Cuped:
    """Effect on a mean or ratio, adjusted by a covariate measured before exposure; one test per row.

        y' = y - θ (x - x̄)      θ = cov(y, x)/var(x) over both variants together, x̄ likewise
        absolute: d = y'_t - y'_c, var(y') = s_yy - 2 θ s_xy + θ² s_xx in each variant, then Welch
        relative: lift = (y'_t - y'_c)/|ȳ_c|, delta method in (ȳ_t, x̄_t, ȳ_c, x̄_c):
            var = [var(y'_t)/n_t + (g² s_yy - 2 g θ s_xy + θ² s_xx)_c/n_c] / ȳ_c²,  g = ȳ_t/ȳ_c

    For a ratio, y and x are the linearised ratios (see ratio_moments) and the formulas are the same.

    Args:
        control, treatment: kind 'mean': variables (metric, covariate). kind 'ratio': (numerator, denominator,
            covariate) or (numerator, denominator, covariate numerator, covariate denominator).
            A user without history enters with covariate 0 (a sum over a period in which nothing happened), so that
            every assigned user is compared. That is unbiased, as history is fixed before exposure.
    Returns: Cuped, fields of shape (k,). theta is 0, and the plain result stands, where the covariate does not vary.
    Agrees with: gbstats RegressionAdjustedStatistic and tea-tasting Mean/RatioOfMeans with covariate (absolute).
        Relative: gbstats's development version of August 2026. Its release 0.8 has the same estimate but a variance
        that is short by θ²s_xx lift²/(n_c ȳ_c²): nothing at lift 0, too narrow for large lifts (seen in simulation).
        tea-tasting divides by the adjusted control mean and takes logs.
    Source: Deng, Xu, Kohavi and Walker (2013), WSDM, doi:10.1145/2433396.2433413; delta method as in ratio_moments.
    """
    c, t, theta = _reduce(control, treatment, kind)
    with np.errstate(all="ignore"):
        v_c, v_t = _adjusted_variance(c, theta), _adjusted_variance(t, theta)
        total_n = c.n + t.n
        centre = (c.n * c.x + t.n * t.x) / total_n
        control_mean, treatment_mean = c.y - theta * (c.x - centre), t.y - theta * (t.x - centre)
        difference = treatment_mean - control_mean
        variance = v_t / t.n + v_c / c.n
        plain = t.yy / t.n + c.yy / c.n
        reduction = np.where(plain > 0.0, 1.0 - variance / plain, np.nan)
        df = welch_df(Moments(c.n, control_mean, v_c), Moments(t.n, treatment_mean, v_t))
        if relative:
            base = np.where(c.y == 0.0, np.nan, np.abs(c.y))
            g = t.y / c.y
            control_part = (g * g * c.yy - 2.0 * g * theta * c.xy + theta**2 * c.xx) / c.n
            effect = t_effect(difference / base, np.sqrt(v_t / t.n + control_part) / base, df, alpha=alpha, sided=sided)
        else:
            effect = t_effect(difference, np.sqrt(variance), df, alpha=alpha, sided=sided)
        contrast = Contrast(difference, variance, c.y, c.yy / c.n, -(c.yy - theta * c.xy) / c.n)
    return Cuped(effect, theta, reduction, control_mean, treatment_mean, contrast)


class _Pair(NamedTuple):
    """Metric y and covariate x of one variant: means, variances, covariance; shape (k,) each."""

    n: FloatArray
    y: FloatArray
    x: FloatArray
    yy: FloatArray
    xy: FloatArray
    xx: FloatArray


def _reduce(
    control: JointMoments, treatment: JointMoments, kind: Literal["mean", "ratio"]
) -> tuple[_Pair, _Pair, FloatArray]:
    variables = control.mean.shape[0]
    expected = (2,) if kind == "mean" else (3, 4)
    if variables not in expected or treatment.mean.shape[0] != variables:
        wanted = " or ".join(str(e) for e in expected)
        raise InvalidInput(
            "control",
            f"found {variables} variables against {treatment.mean.shape[0]} in the treatment; "
            f"CUPED of a {kind} needs {wanted}",
        )
    pair = _mean_pair if kind == "mean" else _ratio_pair
    total = pair(control + treatment)
    with np.errstate(all="ignore"):
        theta = np.where(total.xx > 0.0, total.xy / np.where(total.xx > 0.0, total.xx, 1.0), 0.0)
    return pair(control), pair(treatment), theta


def _mean_pair(group: JointMoments) -> _Pair:
    return _Pair(group.n, group.mean[0], group.mean[1], group.cov[0, 0], group.cov[0, 1], group.cov[1, 1])


def _ratio_pair(group: JointMoments) -> _Pair:
    y = ratio_moments(group)
    gradient_y = ratio_gradient(group, 0, 1)
    if group.mean.shape[0] == 3:
        gradient_x: list[FloatArray | int] = [0, 0, np.ones(())]
        x = group.mean[2]
    else:
        gradient_x = ratio_gradient(group, 2, 3)
        x = ratio_moments(group, 2, 3).mean
    return _Pair(group.n, y.mean, x, y.var, group.bilinear(gradient_y, gradient_x), group.linear(gradient_x))


def _adjusted_variance(pair: _Pair, theta: FloatArray) -> FloatArray:
    # a covariate equal to the metric leaves nothing: rounding must not make that negative
    return np.maximum(pair.yy - 2.0 * theta * pair.xy + theta**2 * pair.xx, 0.0)
