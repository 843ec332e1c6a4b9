"""The JSON format of `neonblue analyze`: what each kind answers, and what it agrees with."""

import numpy as np
import pytest
from gbstats.bayesian.tests import EffectBayesianABTest, EffectBayesianConfig, GaussianPrior
from gbstats.frequentist.tests import FrequentistConfig, SequentialConfig, SequentialTwoSidedTTest, TwoSidedTTest
from gbstats.models.statistics import ProportionStatistic, RatioStatistic, SampleMeanStatistic
from scipy import stats

from neonblue_stats.analysis import analyse_one
from tests.unit.stats.fix_requests import (
    ADJUSTED,
    BUYERS,
    LOOKS,
    MANY,
    P90,
    PER_ORDER,
    POWER,
    REVENUE,
    SIZE,
    SPLIT,
    A,
    B,
    cuped_sums,
    ratio_sums,
)


def gb_mean(sums, prefix=""):
    return SampleMeanStatistic(n=sums["n"], sum=sums[prefix + "sum"], sum_squares=sums[prefix + "sum_squares"])


def gb_pair(item):
    sides = item["control"], item["treatment"]
    if item["kind"] == "proportion":
        return [ProportionStatistic(n=s["n"], sum=s["sum"]) for s in sides]
    if item["kind"] == "mean":
        return [gb_mean(s) for s in sides]
    return [
        RatioStatistic(n=s["n"], m_statistic=gb_mean(s), d_statistic=gb_mean(s, "denominator_"),
                       m_d_sum_of_products=s["product_sum"])
        for s in sides
    ]  # fmt: skip


@pytest.mark.parametrize("effect", ["relative", "absolute"])
@pytest.mark.parametrize("item", [REVENUE, PER_ORDER], ids=lambda i: i["kind"])
def test_fixed_comparisons_agree_with_gbstats(item, effect):
    theirs = TwoSidedTTest(*gb_pair(item), FrequentistConfig(difference_type=effect)).compute_result()
    ours = analyse_one({**item, "effect": effect})
    expected = (theirs.expected, theirs.uplift.stddev, *theirs.ci, theirs.p_value)
    np.testing.assert_allclose(
        [ours[k] for k in ("estimate", "standard_error", "low", "high", "p_value")], expected, rtol=1e-7
    )
    assert ours["n"] == item["control"]["n"] + item["treatment"]["n"]
    assert ours["warnings"] == []


@pytest.mark.parametrize("effect", ["relative", "absolute"])
@pytest.mark.parametrize("item", [REVENUE, PER_ORDER, BUYERS], ids=lambda i: i["kind"])
def test_sequential_comparisons_agree_with_gbstats(item, effect):
    config = SequentialConfig(difference_type=effect, alpha=0.1, sequential_tuning_parameter=800)
    theirs = SequentialTwoSidedTTest(*gb_pair(item), config).compute_result()
    ours = analyse_one({**item, "effect": effect, "alpha": 0.1, "method": "confidence_sequence", "tuning_n": 800})
    np.testing.assert_allclose([ours[k] for k in ("low", "high", "p_value")], (*theirs.ci, theirs.p_value), rtol=1e-7)


@pytest.mark.parametrize("effect", ["relative", "absolute"])
@pytest.mark.parametrize("prior", [None, (0.01, 0.0025)])
@pytest.mark.parametrize("item", [REVENUE, PER_ORDER, BUYERS], ids=lambda i: i["kind"])
def test_bayesian_comparisons_agree_with_gbstats(item, effect, prior):
    theirs_prior = GaussianPrior(*prior, proper=True) if prior else GaussianPrior(proper=False)
    config = EffectBayesianConfig(difference_type=effect, prior_type=effect, prior_effect=theirs_prior)
    theirs = EffectBayesianABTest(*gb_pair(item), config).compute_result()
    more = {"prior_mean": prior[0], "prior_variance": prior[1]} if prior else {}
    ours = analyse_one({**item, "effect": effect, "method": "bayesian", **more})
    np.testing.assert_allclose(
        [ours[k] for k in ("estimate", "low", "high", "chance_to_win", "expected_loss")],
        (theirs.expected, *theirs.ci, theirs.chance_to_win, theirs.risk[1]),
        rtol=1e-7,
    )
    assert ours["p_value"] is None
    assert "p_value is null" in ours["warnings"][0]


def test_a_proportion_is_a_z_test_of_its_own_standard_error():
    ours = analyse_one({**BUYERS, "effect": "absolute"})
    p, q = 0.1, 140 / 1100
    se = np.sqrt(p * (1 - p) / 1000 + q * (1 - q) / 1100)
    assert ours["standard_error"] == pytest.approx(se, rel=1e-12)
    assert ours["p_value"] == pytest.approx(2 * stats.norm.sf((q - p) / se), rel=1e-10)
    assert ours["high"] == pytest.approx(q - p + stats.norm.ppf(0.975) * se, rel=1e-10)


def test_cuped_reports_slope_and_variance_removed():
    ours, plain = analyse_one(ADJUSTED), analyse_one({**ADJUSTED, "control": A.sums, "treatment": B.sums})
    y, x = np.r_[A.y, B.y], np.r_[A.x, B.x]
    assert ours["theta"] == pytest.approx(np.cov(y, x)[0, 1] / x.var(ddof=1), rel=1e-9)
    assert ours["standard_error"] < plain["standard_error"]
    assert 0.2 < ours["variance_reduction"] < 0.9
    assert "theta" not in plain


def test_cuped_of_a_ratio_takes_one_history_or_two():
    def both(v):
        return {
            **ratio_sums(v), **cuped_sums(v), "covariate_denominator_product_sum": float((v.x * v.d).sum()),
            "denominator_covariate_sum": float(v.e.sum()), "denominator_covariate_sum_squares": float((v.e**2).sum()),
            "denominator_covariate_product_sum": float((v.e * v.y).sum()),
            "denominator_covariate_denominator_product_sum": float((v.e * v.d).sum()),
            "covariates_product_sum": float((v.e * v.x).sum()),
        }  # fmt: skip

    two = {"kind": "ratio", "control": both(A), "treatment": both(B), "effect": "absolute"}
    from neonblue_stats import cuped

    expected = cuped(A.joint("y", "d", "x", "e"), B.joint("y", "d", "x", "e"), kind="ratio")
    assert analyse_one(two)["p_value"] == pytest.approx(float(expected.effect.p_value), rel=1e-7)
    names = ("denominator_covariate", "covariates_product")
    single = {s: {k: v for k, v in two[s].items() if not k.startswith(names)} for s in ("control", "treatment")}
    expected = cuped(A.joint("y", "d", "x"), B.joint("y", "d", "x"), kind="ratio")
    assert analyse_one({**two, **single})["theta"] == pytest.approx(float(expected.theta), rel=1e-7)


def test_one_sided_tests_have_an_open_end_that_is_explained():
    greater, less = (analyse_one({**REVENUE, "sided": s}) for s in ("greater", "less"))
    assert greater["high"] is None
    assert "high is null" in greater["warnings"][0]
    assert less["low"] is None
    assert greater["p_value"] + less["p_value"] == pytest.approx(1.0)
    assert analyse_one({**REVENUE, "sided": "one"}) == greater


def test_exact_tests_say_which_one_was_used():
    small = {"kind": "proportion", "control": {"n": 20, "sum": 3}, "treatment": {"n": 22, "sum": 10}, "method": "exact"}
    ours = analyse_one(small)
    assert ours["test"] == "barnard"
    assert ours["p_value"] == pytest.approx(stats.barnard_exact([[10, 3], [12, 17]]).pvalue, rel=1e-7)
    assert ours["low"] > 0
    fisher = analyse_one({**small, "test": "fisher"})
    assert fisher["p_value"] == pytest.approx(stats.fisher_exact([[10, 3], [12, 17]]).pvalue, rel=1e-9)
    assert fisher["low"] is None
    assert "Fisher test has no interval" in fisher["warnings"][0]


def test_small_counts_are_pointed_to_the_exact_test():
    ours = analyse_one({"kind": "proportion", "control": {"n": 20, "sum": 1}, "treatment": {"n": 22, "sum": 3}})
    assert any("use method 'exact'" in w for w in ours["warnings"])


def test_quantiles_take_their_error_from_the_given_interval():
    ours = analyse_one({**P90, "effect": "absolute"})
    z = stats.norm.ppf(0.975)
    se = np.hypot(1.1 / (2 * z), 1.1 / (2 * z))
    assert ours["standard_error"] == pytest.approx(se, rel=1e-10)
    assert ours["p_value"] == pytest.approx(2 * stats.norm.sf(1.0 / se), rel=1e-9)


def test_splits_take_lists_or_names_and_warn_of_a_mismatch():
    ours = analyse_one(SPLIT)
    assert ours["p_value"] == pytest.approx(stats.chisquare([44700, 45489]).pvalue, rel=1e-10)
    assert (ours["n"], ours["warnings"]) == (90189, [])
    named = analyse_one({"kind": "sample_ratio", "counts": {"a": 44700, "b": 45489}, "weights": {"b": 1, "a": 1}})
    assert named["p_value"] == ours["p_value"]
    bad = analyse_one({**SPLIT, "counts": [40000, 45489]})
    assert bad["mismatch"]
    assert "sample ratio mismatch" in bad["warnings"][0]
    small = analyse_one({**SPLIT, "counts": [7, 1]})
    assert small["p_value"] == pytest.approx(stats.binomtest(7, 8).pvalue)
    assert "exact" in small["warnings"][0]
    empty = analyse_one({**SPLIT, "counts": [0, 0]})
    assert empty["p_value"] is None
    assert "no users" in empty["warnings"][0]


def test_p_values_are_adjusted_in_the_order_given():
    assert analyse_one(MANY)["adjusted_p_values"] == pytest.approx([0.03, 0.06, 0.06])
    ours = analyse_one({**MANY, "p_values": [0.01, None, 0.03], "method": "benjamini_hochberg"})
    assert ours["adjusted_p_values"] == [pytest.approx(0.02), None, pytest.approx(0.03)]
    assert ours["warnings"]


def test_plans_give_users_power_and_smallest_effect():
    size = analyse_one(SIZE)
    each = 2 * 400 * (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) ** 2 / 0.5**2
    assert size["n"] == 2 * np.ceil(each)
    back = analyse_one({**SIZE, "kind": "power", "n": size["n"]})
    assert (back["power"], back["mde"]) == (pytest.approx(0.8, abs=1e-4), pytest.approx(0.05, rel=1e-4))
    three = analyse_one({**SIZE, "variants": 3})
    assert three["n"] == 3 * np.ceil(each)
    assert "bonferroni" in three["warnings"][0]
    power = analyse_one(POWER)
    p, q = 0.1, 0.11
    ncp = 0.01 / np.sqrt((p * (1 - p) + q * (1 - q)) / 10000)
    assert power["power"] == pytest.approx(stats.norm.sf(1.959964 - ncp) + stats.norm.cdf(-1.959964 - ncp), rel=1e-6)
    smallest = analyse_one({k: v for k, v in {**SIZE, "n": size["n"]}.items() if k != "effect_size"})
    assert smallest["mde"] == pytest.approx(0.05, rel=1e-4)
    assert smallest["power"] is None
    assert "no effect_size" in smallest["warnings"][0]


def test_spending_gives_one_boundary_a_look():
    ours = analyse_one(LOOKS)
    assert ours["boundaries"] == pytest.approx([2.1570, 2.2010], abs=1e-4)
    assert ours["alpha_spent"][-1] == pytest.approx(0.05)


@pytest.mark.parametrize("method", ["msprt", "group_sequential"])
def test_further_sequential_methods_are_wider_than_the_fixed_interval(method):
    more = {"prior_variance": 0.01} if method == "msprt" else {"looks": [0.3, 0.6]}
    ours, fixed = analyse_one({**REVENUE, "method": method, **more}), analyse_one(REVENUE)
    assert ours["low"] < fixed["low"] < fixed["high"] < ours["high"]
    assert ours["p_value"] > fixed["p_value"]
