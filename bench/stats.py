"""Speed of the statistics: the same 10,000 comparisons here, in gbstats and in tea-tasting, in one run; then a million.

    .venv/bin/python bench/stats.py            about a minute
    .venv/bin/python bench/stats.py --json     one object for machines

The others take one comparison a call, so a sample of them is timed and shown per comparison. Each side starts from what
it is made to take: gbstats and tea-tasting from their objects of sums (made outside the clock), NeonBlue from arrays of
the same sums, turned into moments inside the clock. All use one thread; the best of several rounds counts, as the
machine may be shared.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tea_tasting as tt
from gbstats.frequentist.tests import FrequentistConfig, SequentialConfig, SequentialTwoSidedTTest, TwoSidedTTest
from gbstats.models.statistics import RatioStatistic, RegressionAdjustedStatistic, SampleMeanStatistic
from tea_tasting.aggr import Aggregates

from neonblue_stats import JointMoments, Moments, confidence_sequence, cuped, mean_difference, ratio_difference, welch

COMPARISONS, SAMPLE, ROUNDS = 10_000, 300, 7
NAMES = ("y", "x")


def make_sums(seed: int, k: int) -> dict[str, np.ndarray]:
    """Sums of k variants: metric y and second variable x (covariate or denominator)."""
    rng = np.random.default_rng(seed)
    n = rng.integers(1_000, 100_000, k).astype(float)
    mean_y, mean_x = rng.uniform(1.0, 5.0, k), rng.uniform(2.0, 4.0, k)
    var_y, var_x = rng.uniform(1.0, 9.0, k), rng.uniform(1.0, 4.0, k)
    cov = rng.uniform(0.2, 0.8, k) * np.sqrt(var_y * var_x)
    return {
        "n": n, "y": n * mean_y, "x": n * mean_x, "yy": (n - 1) * var_y + n * mean_y**2,
        "xx": (n - 1) * var_x + n * mean_x**2, "xy": (n - 1) * cov + n * mean_y * mean_x,
    }  # fmt: skip


def best_of(function: Callable[[], Any], rounds: int = ROUNDS) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def moments(s: dict[str, np.ndarray]) -> Moments:
    return Moments.from_sums(s["n"], s["y"], s["yy"])


def joint(s: dict[str, np.ndarray]) -> JointMoments:
    return JointMoments.from_sums(s["n"], [s["y"], s["x"]], [[s["yy"]], [s["xy"], s["xx"]]])


def ours(kind: str, c: dict[str, np.ndarray], t: dict[str, np.ndarray]) -> Any:
    if kind == "cuped":
        return cuped(joint(c), joint(t)).effect
    if kind == "ratio":
        return ratio_difference(joint(c), joint(t))
    if kind == "sequential":
        return confidence_sequence(*mean_difference(moments(c), moments(t)), c["n"] + t["n"])
    return welch(moments(c), moments(t))


def gb_statistic(kind: str, s: dict[str, np.ndarray], i: int) -> Any:
    n = int(s["n"][i])
    y = SampleMeanStatistic(n=n, sum=float(s["y"][i]), sum_squares=float(s["yy"][i]))
    x = SampleMeanStatistic(n=n, sum=float(s["x"][i]), sum_squares=float(s["xx"][i]))
    if kind == "cuped":
        return RegressionAdjustedStatistic(
            n=n, post_statistic=y, pre_statistic=x, post_pre_sum_of_products=float(s["xy"][i]), theta=0
        )
    if kind == "ratio":
        return RatioStatistic(n=n, m_statistic=y, d_statistic=x, m_d_sum_of_products=float(s["xy"][i]))
    return y


def gb_time(kind: str, c: dict[str, np.ndarray], t: dict[str, np.ndarray]) -> tuple[float, list[float]]:
    """Seconds per comparison, and the p-values of the sample."""
    pairs = [(gb_statistic(kind, c, i), gb_statistic(kind, t, i)) for i in range(SAMPLE)]
    if kind == "sequential":
        config: Any = SequentialConfig(difference_type="absolute")
        test: Any = SequentialTwoSidedTTest
    else:
        config, test = FrequentistConfig(difference_type="absolute"), TwoSidedTTest
    p_values: list[float] = []

    def run() -> None:
        with np.errstate(over="ignore"):
            p_values[:] = [test(a, b, config).compute_result().p_value for a, b in pairs]

    return best_of(run, 3) / SAMPLE, p_values


def tea_time(kind: str, c: dict[str, np.ndarray], t: dict[str, np.ndarray]) -> tuple[float, list[float]] | None:
    """As gb_time; tea-tasting has no sequential test."""
    if kind == "sequential":
        return None

    def aggregates(s: dict[str, np.ndarray], i: int) -> Aggregates:
        n = float(s["n"][i])
        mean = {k: float(s[k][i]) / n for k in NAMES}

        def centred(product: str, a: str, b: str) -> float:
            return (float(s[product][i]) - n * mean[a] * mean[b]) / (n - 1)

        return Aggregates(
            count_=int(n), mean_=mean, var_={"y": centred("yy", "y", "y"), "x": centred("xx", "x", "x")},
            cov_={("x", "y"): centred("xy", "x", "y")},
        )  # fmt: skip

    options: dict[str, Any] = {"equal_var": False, "use_t": True}
    metric: Any = {
        "welch": lambda: tt.Mean("y", **options),
        "cuped": lambda: tt.Mean("y", "x", **options),
        "ratio": lambda: tt.RatioOfMeans("y", "x", **options),
    }[kind]()
    pairs = [(aggregates(c, i), aggregates(t, i)) for i in range(SAMPLE)]
    p_values: list[float] = []

    def run() -> None:
        p_values[:] = [metric.analyze_aggregates(a, b).pvalue for a, b in pairs]

    return best_of(run, 3) / SAMPLE, p_values


def measure() -> list[dict[str, Any]]:
    """A row a test: microseconds of one of 10,000 comparisons here, in gbstats and in tea-tasting."""
    c, t = make_sums(1, COMPARISONS), make_sums(2, COMPARISONS)
    rows = []
    for kind in ("welch", "cuped", "ratio", "sequential"):
        result = ours(kind, c, t)
        mine = best_of(partial(ours, kind, c, t), 15) / COMPARISONS
        gb, gb_p = gb_time(kind, c, t)
        tea = tea_time(kind, c, t)
        for theirs in (gb_p, *([tea[1]] if tea else [])):
            # gbstats takes 1 - cdf, which keeps no digit of p-values below 1e-16
            np.testing.assert_allclose(result.p_value[:SAMPLE], theirs, rtol=1e-6, atol=1e-15)
        fastest = min(gb, tea[0]) if tea else gb
        rows.append(
            {
                "test": kind,
                "neonblue_us": mine * 1e6,
                "gbstats_us": gb * 1e6,
                "tea_tasting_us": tea[0] * 1e6 if tea else None,
                "times_faster": fastest / mine,
            }
        )
    return rows


def measure_million() -> dict[str, float]:
    """Seconds of a million Welch tests."""
    c, t = make_sums(3, 1_000_000), make_sums(4, 1_000_000)
    c_moments, t_moments = moments(c), moments(t)
    return {
        "million_welch_from_moments_s": best_of(lambda: welch(c_moments, t_moments), 3),
        "million_welch_from_sums_s": best_of(lambda: ours("welch", c, t), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    wanted = parser.parse_args()
    found: dict[str, Any] = {"comparisons": COMPARISONS, "per_comparison": measure(), **measure_million()}
    if wanted.json:
        print(json.dumps(found))
        return
    print(f"{COMPARISONS:,} comparisons, microseconds each; the p-values agree to 6 digits")
    print(f"{'test':12}{'neonblue':>10}{'gbstats':>10}{'tea-tasting':>13}{'times faster than the faster':>31}")
    for row in found["per_comparison"]:
        tea = f"{row['tea_tasting_us']:.0f}" if row["tea_tasting_us"] else "none"
        print(
            f"{row['test']:12}{row['neonblue_us']:>10.3f}{row['gbstats_us']:>10.0f}{tea:>13}{row['times_faster']:>31,.0f}"
        )
    print(f"1,000,000 Welch tests: {found['million_welch_from_moments_s']:.2f} s from moments, "
          f"{found['million_welch_from_sums_s']:.2f} s from sums")  # fmt: skip


if __name__ == "__main__":
    main()
