"""False alarms, coverage and power of tests at a single look, on data as products have them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from neonblue_stats import (
    JointMoments,
    Moments,
    adjust,
    by_segment,
    confidence_sequence,
    cuped,
    fieller,
    interval_levels,
    post_stratify,
    power,
    quantile_effect,
    ratio_difference,
    ratio_lift,
    relative_lift,
    sample_size,
    t_effect,
    two_proportion_z,
    welch,
)
from neonblue_stats.exact import _Barnard
from neonblue_stats.quantiles import Quantile, cluster_factor

pytestmark = pytest.mark.slow
RUNS = 4000


def margin(rate: float, runs: int = RUNS) -> float:
    """Three standard errors of a simulated rate."""
    return 3.0 * np.sqrt(rate * (1.0 - rate) / runs)


def covered(effect, truth: float) -> float:
    return float(np.mean((effect.low <= truth) & (truth <= effect.high)))


def revenue(rng: np.random.Generator, users: int, lift: float = 0.0, runs: int = RUNS) -> Moments:
    """Revenue a user: 98 % buy nothing, the others a log-normal amount; moments of `runs` samples."""
    buyers = rng.binomial(users, 0.02, runs)
    amounts = rng.lognormal(3.0, 1.0, (runs, buyers.max())) * (1.0 + lift)
    bought = np.arange(buyers.max()) < buyers[:, None]
    total, squares = (amounts * bought).sum(axis=1), (amounts**2 * bought).sum(axis=1)
    return Moments.from_sums(users, total, squares)


def test_welch_on_skewed_revenue_keeps_its_false_alarm_rate_and_coverage():
    rng = np.random.default_rng(101)
    control, same, better = revenue(rng, 10_000), revenue(rng, 10_000), revenue(rng, 10_000, 0.2)
    alarms = float(np.mean(welch(control, same).p_value < 0.05))
    assert alarms <= 0.05 + margin(0.05)
    truth = 0.02 * np.exp(3.5)
    assert covered(welch(control, better), 0.2 * truth) >= 0.95 - margin(0.95)
    assert covered(relative_lift(control, better), 0.2) >= 0.95 - margin(0.95)


def test_welch_with_few_users_and_unequal_variances_covers():
    rng = np.random.default_rng(102)
    c, t = rng.normal(0.0, 1.0, (RUNS, 8)), rng.normal(1.0, 4.0, (RUNS, 12))
    control, treatment = (Moments(x.shape[1], x.mean(axis=1), x.var(axis=1, ddof=1)) for x in (c, t))
    assert covered(welch(control, treatment), 1.0) == pytest.approx(0.95, abs=margin(0.95) + 0.005)
    one_sided = welch(control, treatment, sided="greater")
    assert covered(one_sided, 1.0) >= 0.95 - margin(0.95) - 0.005


def test_z_test_of_proportions_keeps_its_rates():
    rng = np.random.default_rng(103)
    draw = lambda p, n: Moments.from_proportion(n, rng.binomial(n, p, RUNS))  # noqa: E731
    assert float(np.mean(two_proportion_z(draw(0.1, 2000), draw(0.1, 3000)).p_value < 0.05)) <= 0.05 + margin(0.05)
    assert covered(two_proportion_z(draw(0.1, 2000), draw(0.13, 3000)), 0.03) >= 0.95 - margin(0.95)


def test_exact_test_keeps_its_rate_where_the_z_test_does_not():
    rng = np.random.default_rng(104)
    n, runs = 10, 4000
    x_c, x_t = rng.binomial(n, 0.5, runs), rng.binomial(n, 0.5, runs)
    z = two_proportion_z(Moments.from_proportion(n, x_c), Moments.from_proportion(n, x_t))
    pairs = list(zip(x_c.tolist(), x_t.tolist(), strict=True))
    p_value = {(a, b): _Barnard(n, a, n, b, "two", False).p_value(0.0, refine=True) for a, b in set(pairs)}
    exact = np.array([p_value[pair] for pair in pairs])
    assert float(np.mean(exact < 0.05)) <= 0.05 + margin(0.05, runs)
    assert float(np.mean(z.p_value < 0.05)) > 0.05 + margin(0.05, runs)


def test_fieller_covers_where_the_control_is_hard_to_tell_from_zero():
    rng = np.random.default_rng(105)
    n, runs = 40, RUNS
    c, t = rng.normal(0.5, 1.0, (runs, n)), rng.normal(1.0, 1.0, (runs, n))
    control, treatment = (Moments(n, x.mean(axis=1), x.var(axis=1, ddof=1)) for x in (c, t))
    bounds = fieller(control, treatment)
    inside = (bounds.low <= 1.0) & (bounds.high >= 1.0)
    assert float(inside.mean()) >= 0.95 - margin(0.95)


def orders(rng: np.random.Generator, users: int, lift: float, runs: int):
    """Per user: revenue y, orders d, revenue and orders before x, e; shape (runs, users) each."""
    taste = rng.gamma(2.0, 1.0, (runs, users))
    e, d = rng.poisson(1.0 + taste), 1 + rng.poisson(taste)
    x = e * rng.gamma(2.0, 1.0, (runs, users))
    y = d * rng.gamma(2.0, (1.0 + lift), (runs, users)) * (0.5 + taste / 4.0)
    return y, d, x, e


def joint(*columns: np.ndarray) -> JointMoments:
    n = columns[0].shape[1]
    products = [[(a * b).sum(axis=1) for b in columns[: i + 1]] for i, a in enumerate(columns)]
    return JointMoments.from_sums(n, [c.sum(axis=1) for c in columns], products)


def test_ratios_and_cuped_cover_the_truth():
    rng = np.random.default_rng(106)
    runs = 1500
    c, t = orders(rng, 400, 0.0, runs), orders(rng, 400, 0.1, runs)
    big = orders(rng, 400_000, 0.0, 1)
    per_user, per_order = float(big[0].mean()), float(big[0].sum() / big[1].sum())
    slack = margin(0.95, runs) + 0.003  # the truth itself is simulated
    ratio_c, ratio_t = joint(c[0], c[1]), joint(t[0], t[1])
    assert covered(ratio_difference(ratio_c, ratio_t), 0.1 * per_order) >= 0.95 - slack
    assert covered(ratio_lift(ratio_c, ratio_t), 0.1) >= 0.95 - slack
    mean_c, mean_t = joint(c[0], c[2]), joint(t[0], t[2])
    adjusted = cuped(mean_c, mean_t)
    assert covered(adjusted.effect, 0.1 * per_user) >= 0.95 - slack
    assert float(np.median(adjusted.variance_reduction)) > 0.03
    assert covered(cuped(mean_c, mean_t, relative=True).effect, 0.1) >= 0.95 - slack
    four_c, four_t = joint(*c), joint(*t)
    assert covered(cuped(four_c, four_t, kind="ratio").effect, 0.1 * per_order) >= 0.95 - slack
    assert covered(cuped(four_c, four_t, kind="ratio", relative=True).effect, 0.1) >= 0.95 - slack


def test_relative_cuped_covers_a_doubling_that_the_short_formula_misses():
    rng = np.random.default_rng(107)
    runs, n = 3000, 300
    x_c, x_t = rng.normal(10.0, 4.0, (2, runs, n))
    y_c, y_t = x_c + rng.normal(0, 1.0, (runs, n)), 10.0 + x_t + rng.normal(0, 1.0, (runs, n))
    c, t = joint(y_c, x_c), joint(y_t, x_t)
    ours = cuped(c, t, relative=True)
    assert covered(ours.effect, 1.0) >= 0.95 - margin(0.95, runs)
    # var(y')_t/n + g² var(y')_c/n, as in gbstats 0.8
    v = [g.cov[0, 0] - 2 * ours.theta * g.cov[0, 1] + ours.theta**2 * g.cov[1, 1] for g in (c, t)]
    short = np.sqrt(v[1] / n + v[0] / n * (t.mean[0] / c.mean[0]) ** 2) / c.mean[0]
    assert covered(t_effect(ours.effect.estimate, short), 1.0) < 0.9


def test_quantiles_cover_with_and_without_clusters():
    rng = np.random.default_rng(108)
    runs, n = 1500, 900
    sides = []
    for shift in (0.0, 0.5):
        values = rng.exponential(1.0, (runs, n)) + shift
        low, high = interval_levels(n, 0.9)
        sides.append(Quantile(np.full(runs, n), *np.quantile(values, [0.9, low, high], axis=1)))
    assert covered(quantile_effect(*sides), 0.5) >= 0.95 - margin(0.95, runs) - 0.005
    sides, factors = [], []
    for shift in (0.0, 0.3):
        users, events = 300, 4
        level = rng.normal(0.0, 1.0, (runs, users, 1))
        values = level + rng.normal(shift, 1.0, (runs, users, events))
        flat = values.reshape(runs, -1)
        low, high = interval_levels(users * events, 0.5)
        q = np.quantile(flat, [0.5, low, high], axis=1)
        sides.append(Quantile(np.full(runs, users * events), *q))
        below = (values <= q[0][:, None, None]).sum(axis=2).astype(float)
        factors.append(cluster_factor(joint(below, np.full((runs, users), float(events))), 0.5))
    clustered = quantile_effect(*sides, control_factor=factors[0], treatment_factor=factors[1])
    assert covered(clustered, 0.3) >= 0.95 - margin(0.95, runs) - 0.005
    assert covered(quantile_effect(*sides), 0.3) < 0.9


def quantile_of(draws: np.ndarray, level: float) -> Quantile:
    """A quantile as results have it, of independent values; draws of shape (runs, n)."""
    n = draws.shape[1]
    ends = np.quantile(draws, [level, *map(float, interval_levels(n, level))], axis=1, method="inverted_cdf")
    return Quantile(np.full(len(draws), n), *ends)


LOGNORMAL = lambda rng, shape: rng.lognormal(3.0, 0.7, shape)  # noqa: E731
STARS = lambda rng, shape: rng.choice([1.0, 2, 3, 4, 5], shape, p=[0.1, 0.1, 0.3, 0.25, 0.25])  # noqa: E731
PRICES = lambda rng, shape: rng.choice([9.0, 19, 49], shape, p=[0.4, 0.3, 0.3]) + rng.normal(0, 0.02, shape)  # noqa: E731


@pytest.mark.parametrize(
    ("draw", "level"),
    [
        pytest.param(LOGNORMAL, 0.5, id="continuous, median"),
        pytest.param(LOGNORMAL, 0.9, id="continuous, p90"),
        pytest.param(lambda rng, shape: np.ceil(10 * LOGNORMAL(rng, shape)), 0.5, id="whole milliseconds"),
        pytest.param(STARS, 0.5, id="stars"),
        pytest.param(lambda rng, shape: rng.poisson(1.678, shape), 0.5, id="counts"),
        pytest.param(lambda rng, shape: np.round(LOGNORMAL(rng, shape) / 5) * 5, 0.9, id="prices in steps"),
        pytest.param(PRICES, 0.4, id="few prices, nearly"),
        pytest.param(lambda rng, shape: (rng.random(shape) < 0.5) * LOGNORMAL(rng, shape), 0.5, id="half are zeros"),
    ],
)
def test_quantiles_raise_no_more_false_alarms_than_they_may_whatever_the_values(draw, level):
    rng, runs, n = np.random.default_rng(111), 1000, 1500
    sides = [quantile_of(draw(rng, (runs, n)).astype(float), level) for _ in range(2)]
    for relative in (False, True):
        effect = quantile_effect(*sides, relative=relative, facing=True)
        assert float(np.mean(effect.p_value < 0.05)) <= 0.05 + margin(0.05, runs)
        assert float(np.mean(effect.p_value < 0.001)) <= 0.001 + margin(0.001, runs)
        looked = confidence_sequence(effect.estimate, effect.standard_error, 2 * n)
        assert float(np.mean(looked.p_value < 0.05)) <= 0.005 + margin(0.005, runs)


def test_effects_on_quantiles_of_continuous_values_are_found_as_often_as_their_law_says():
    rng, runs, n, lift = np.random.default_rng(112), 1000, 1500, 1.12
    sides = [LOGNORMAL(rng, (runs, n)), LOGNORMAL(rng, (runs, n)) * lift]
    # Of the logarithm, which is normal: the standard error of a median is sqrt(pi/2) that of a mean.
    z = np.log(lift) / (0.7 * np.sqrt(np.pi / 2) * np.sqrt(2 / n))
    expected = float(special.ndtr(z - 1.96))
    found = quantile_effect(*(quantile_of(values, 0.5) for values in sides), facing=True)
    assert float(np.mean(found.p_value < 0.05)) == pytest.approx(expected, abs=margin(expected, runs) + 0.02)


def test_post_stratification_covers_and_segments_rarely_seem_to_differ():
    rng = np.random.default_rng(109)
    runs, shares, levels = 2000, [0.5, 0.3, 0.2], np.array([0.0, 2.0, 6.0])
    cells = []
    for effect in (0.0, 0.4):
        counts = rng.multinomial(300, shares, runs).T
        mean = levels[:, None] + effect + rng.normal(0, 1, (3, runs)) / np.sqrt(counts)
        var = rng.chisquare(counts - 1) / (counts - 1)
        cells.append(Moments(counts, mean, var))
    ours = post_stratify(*cells)
    assert covered(ours.effect, 0.4) >= 0.95 - margin(0.95, runs)
    assert float(np.median(ours.variance_reduction)) > 0.7
    interaction = by_segment(welch(*cells)).interaction_p_value
    assert float(np.mean(interaction < 0.05)) <= 0.05 + margin(0.05, runs) + 0.01


def test_power_is_as_planned():
    rng = np.random.default_rng(110)
    n = int(sample_size(10.0, 0.04, 25.0, power=0.8))
    half = n // 2
    sides = [
        Moments(half, rng.normal(m, 5.0 / np.sqrt(half), RUNS), 25.0 * rng.chisquare(half - 1, RUNS) / (half - 1))
        for m in (10.0, 10.4)
    ]
    assert float(np.mean(welch(*sides).p_value < 0.05)) == pytest.approx(0.8, abs=margin(0.8))
    n = int(sample_size(0.1, 0.15, metric="proportion", power=0.9))
    sides = [Moments.from_proportion(n // 2, rng.binomial(n // 2, p, RUNS)) for p in (0.1, 0.115)]
    assert float(np.mean(two_proportion_z(*sides).p_value < 0.05)) == pytest.approx(0.9, abs=margin(0.9))
    # CUPED: correlation .8 removes 64 % of the variance
    n = int(sample_size(10.0, 0.1, 25.0, variance_reduction=0.64))
    runs, half = 1500, n // 2
    arms = []
    for m in (10.0, 11.0):
        x = rng.normal(0, 1, (runs, half))
        arms.append(joint(m + 5.0 * (0.8 * x + 0.6 * rng.normal(0, 1, (runs, half))), x))
    assert float(np.mean(cuped(*arms).effect.p_value < 0.05)) == pytest.approx(0.8, abs=margin(0.8, runs) + 0.01)


def test_corrections_bound_what_they_promise():
    rng = np.random.default_rng(111)
    runs, m, true = 4000, 10, 6
    z = rng.normal(0.0, 1.0, (runs, m)) + np.r_[np.zeros(true), np.full(m - true, 3.0)]
    p = t_effect(z, np.ones(z.shape)).p_value
    for method in ("holm", "bonferroni"):
        rejected = adjust(p, method) < 0.05
        assert float(np.mean(rejected[:, :true].any(axis=1))) <= 0.05 + margin(0.05, runs)
    for method in ("benjamini_hochberg", "benjamini_yekutieli"):
        rejected = adjust(p, method) < 0.05
        share = rejected[:, :true].sum(axis=1) / np.maximum(rejected.sum(axis=1), 1)
        assert float(share.mean()) <= 0.05 + margin(0.05, runs)
    assert float(np.mean(power(1000, 1.0, 0.0, 1.0))) == pytest.approx(0.05)
