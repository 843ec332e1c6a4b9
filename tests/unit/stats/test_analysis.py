"""The JSON format of `neonblue analyze`: what is answered, what is null and why, what is refused by name."""

import json

import jsonschema
import numpy as np
import pytest
from gbstats.bayesian.tests import EffectBayesianABTest, EffectBayesianConfig, GaussianPrior
from gbstats.frequentist.tests import FrequentistConfig, SequentialConfig, SequentialTwoSidedTTest, TwoSidedTTest
from gbstats.models.statistics import ProportionStatistic, RatioStatistic, SampleMeanStatistic
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from neonblue_stats.analysis import DocumentError, analyse_document, analyse_one, json_schema
from neonblue_stats.analysis.request import KINDS
from tests.unit.stats.fix_arms import arm

REVENUE = {
    "id": "revenue", "kind": "mean", "control": {"n": 1200, "sum": 3014.5, "sum_squares": 20871.25},
    "treatment": {"n": 1187, "sum": 3290.75, "sum_squares": 23466.5}, "effect": "relative", "alpha": 0.05,
    "sided": "two",
}  # fmt: skip
BUYERS = {
    "id": "buyers",
    "kind": "proportion",
    "control": {"n": 1000, "sum": 100},
    "treatment": {"n": 1100, "sum": 140},
}
A, B = arm(51, 600), arm(52, 650, lift=0.05)


def ratio_sums(v):
    return {
        **v.sums, "denominator_sum": float(v.d.sum()), "denominator_sum_squares": float((v.d**2).sum()),
        "product_sum": float((v.y * v.d).sum()),
    }  # fmt: skip


def cuped_sums(v):
    return {
        **v.sums, "covariate_sum": float(v.x.sum()), "covariate_sum_squares": float((v.x**2).sum()),
        "covariate_product_sum": float((v.x * v.y).sum()),
    }  # fmt: skip


PER_ORDER = {"id": "per order", "kind": "ratio", "control": ratio_sums(A), "treatment": ratio_sums(B)}
ADJUSTED = {"id": "adjusted", "kind": "mean", "control": cuped_sums(A), "treatment": cuped_sums(B)}
P90 = {
    "id": "p90", "kind": "quantile", "quantile": 0.9, "control": {"n": 5000, "value": 10, "low": 9.5, "high": 10.6},
    "treatment": {"n": 5000, "value": 11, "low": 10.4, "high": 11.5},
}  # fmt: skip
SPLIT = {"id": "split", "kind": "sample_ratio", "counts": [44700, 45489], "weights": [0.5, 0.5]}
MANY = {"id": "many", "kind": "multiplicity", "p_values": [0.01, 0.04, 0.03], "method": "holm"}
SIZE = {"id": "size", "kind": "sample_size", "metric": "mean", "mean": 10, "variance": 400, "effect_size": 0.05}
POWER = {"id": "power", "kind": "power", "metric": "proportion", "mean": 0.1, "effect_size": 0.1, "n": 20000}
LOOKS = {"id": "looks", "kind": "spending", "looks": [0.5, 1], "spending": "pocock"}
ONE_OF_EACH = [REVENUE, BUYERS, PER_ORDER, ADJUSTED, P90, SPLIT, MANY, SIZE, POWER, LOOKS]


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


UNDEFINED = [
    ({**REVENUE, "control": {"n": 1, "sum": 2, "sum_squares": 4}}, "at least 2 users"),
    ({**REVENUE, "control": {"n": 10, "sum": 0, "sum_squares": 0}}, "mean is 0"),
    ({**REVENUE, "control": {"n": 10, "sum": 20, "sum_squares": 40},
      "treatment": {"n": 5, "sum": 10, "sum_squares": 20}}, "nothing varies"),
    ({**BUYERS, "control": {"n": 10, "sum": 10}, "treatment": {"n": 10, "sum": 10}}, "nothing varies"),
    ({**BUYERS, "control": {"n": 10, "sum": 0}, "treatment": {"n": 10, "sum": 3}}, "mean is 0"),
    ({**PER_ORDER, "control": {**ratio_sums(A), "denominator_sum": 0, "denominator_sum_squares": 0, "product_sum": 0}},
     "denominator's mean is 0"),
    ({**P90, "control": {"n": 9, "value": 0, "low": 0, "high": 1}}, "quantile is 0"),
    ({**REVENUE, "control": {"n": 1000, "sum": 1e15, "sum_squares": 1.0000000000000002e27}}, "lost in rounding"),
]  # fmt: skip


@pytest.mark.parametrize(("item", "why"), UNDEFINED, ids=[w for _, w in UNDEFINED])
@pytest.mark.parametrize("method", ["fixed", "confidence_sequence", "bayesian"])
def test_what_is_undefined_is_null_and_says_why(item, why, method):
    ours = analyse_one({**item, "method": method})
    assert "error" not in ours
    assert ours["low"] is None
    assert ours["high"] is None
    assert ours["p_value"] is None
    assert any(why in w for w in ours["warnings"]), ours["warnings"]


REFUSED = [
    ({**REVENUE, "kind": "median"}, "kind"),
    ({k: v for k, v in REVENUE.items() if k != "kind"}, "kind"),
    ({**REVENUE, "control": {"n": 0, "sum": 0, "sum_squares": 0}}, "control.n"),
    ({**REVENUE, "control": {"n": 10.5, "sum": 0, "sum_squares": 0}}, "control.n"),
    ({**REVENUE, "control": {"n": True, "sum": 0, "sum_squares": 0}}, "control.n"),
    ({**REVENUE, "control": {"sum": 0, "sum_squares": 0}}, "control.n"),
    ({**REVENUE, "treatment": {"n": 10, "sum": 100, "sum_squares": 999}}, "treatment.sum_squares"),
    ({**REVENUE, "treatment": {"n": 10, "sum": 1, "sum_squares": -5}}, "treatment.sum_squares"),
    ({**REVENUE, "treatment": {"n": 1, "sum": 2, "sum_squares": 5}}, "treatment.sum_squares"),
    ({**REVENUE, "treatment": {"n": 10, "sum": "12", "sum_squares": 999}}, "treatment.sum"),
    ({**REVENUE, "treatment": {"n": 10, "sum": float("nan"), "sum_squares": 999}}, "treatment.sum"),
    ({**REVENUE, "treatment": {"n": 10, "sum": 1, "sum_squares": 10**400}}, "treatment.sum_squares"),
    ({**REVENUE, "treatment": [1, 2]}, "treatment"),
    ({k: v for k, v in REVENUE.items() if k != "treatment"}, "treatment"),
    ({**REVENUE, "alpha": 0}, "alpha"),
    ({**REVENUE, "alpha": 1.5}, "alpha"),
    ({**REVENUE, "sided": "three"}, "sided"),
    ({**REVENUE, "effect": "percent"}, "effect"),
    ({**REVENUE, "method": "magic"}, "method"),
    ({**REVENUE, "method": "exact"}, "method"),
    ({**REVENUE, "method": "msprt"}, "prior_variance"),
    ({**REVENUE, "method": "group_sequential"}, "looks"),
    ({**REVENUE, "method": "group_sequential", "looks": [0.5, 0.4]}, "looks.1"),
    ({**REVENUE, "method": "confidence_sequence", "tuning_n": 0}, "tuning_n"),
    ({**REVENUE, "method": "confidence_sequence", "sided": "greater", "alpha": 0.5}, "alpha"),
    ({**REVENUE, "method": "bayesian", "prior_variance": -1}, "prior_variance"),
    ({**BUYERS, "control": {"n": 10, "sum": 11}}, "control.sum"),
    ({**BUYERS, "control": {"n": 10, "sum": -1}}, "control.sum"),
    ({**BUYERS, "control": {"n": 10, "sum": 1.5}}, "control.sum"),
    ({**ADJUSTED, "control": {**cuped_sums(A), "covariate_product_sum": 1e9}}, "control.covariate_product_sum"),
    ({**ADJUSTED, "control": A.sums}, "control.covariate_sum"),
    ({**ADJUSTED, "control": {**A.sums, "covariate_sum": 1.0}}, "control.covariate_sum_squares"),
    ({**PER_ORDER, "control": {**ratio_sums(A), "product_sum": 1e12}}, "control.product_sum"),
    ({**PER_ORDER, "control": {**ratio_sums(A), "denominator_sum_squares": 1.0}}, "control.denominator_sum_squares"),
    ({**P90, "quantile": 1}, "quantile"),
    ({**P90, "control": {"n": 10, "value": 1, "low": 2, "high": 3}}, "control.low"),
    ({**P90, "control": {"n": 10, "value": 4, "low": 2, "high": 3}}, "control.high"),
    ({**P90, "method": "exact"}, "method"),
    ({**SPLIT, "weights": [1]}, "weights"),
    ({**SPLIT, "weights": [1, 0]}, "weights.1"),
    ({**SPLIT, "counts": [1, -2]}, "counts.1"),
    ({**SPLIT, "counts": []}, "counts"),
    ({**SPLIT, "counts": "many"}, "counts"),
    ({**MANY, "p_values": [0.1, 1.2]}, "p_values.1"),
    ({**MANY, "method": "sidak"}, "method"),
    ({**SIZE, "variance": -1}, "variance"),
    ({k: v for k, v in SIZE.items() if k != "variance"}, "variance"),
    ({k: v for k, v in SIZE.items() if k != "effect_size"}, "effect_size"),
    ({**SIZE, "power": 1}, "power"),
    ({**SIZE, "power": 0.04}, "power"),
    ({**SIZE, "variants": 1}, "variants"),
    ({**POWER, "mean": 1.2}, "mean"),
    ({k: v for k, v in POWER.items() if k != "n"}, "n"),
    ({**LOOKS, "looks": [0.5, 0.5]}, "looks.1"),
    ({**LOOKS, "looks": [0.5, 1.2]}, "looks.1"),
    ({**LOOKS, "looks": []}, "looks"),
    ({**LOOKS, "looks": [i / 501 for i in range(1, 502)]}, "looks"),
    ({**LOOKS, "looks": ["half", 1]}, "looks.0"),
    ({**LOOKS, "spending": "haybittle"}, "spending"),
    ({**REVENUE, "id": {"a": 1}}, "id"),
    (17, "comparison"),
    (None, "comparison"),
]  # fmt: skip


@pytest.mark.parametrize(("item", "field"), REFUSED)
def test_bad_input_is_refused_by_comparison_and_field_and_the_rest_is_answered(item, field):
    document = json.dumps([REVENUE, item, BUYERS])
    first, bad, last = analyse_document(document)
    assert (first["id"], last["id"]) == ("revenue", "buyers")
    assert "error" not in first
    assert "error" not in last
    name = item["id"] if isinstance(item, dict) and isinstance(item.get("id"), str) else "#2"
    assert bad["id"] == name
    assert bad["field"] == field
    assert bad["error"].startswith(f"comparison {name!r}: {field}: ")
    assert "estimate" not in bad


def test_what_is_not_known_is_pointed_out_but_not_refused():
    ours = analyse_one({**REVENUE, "aplha": 0.1, "control": {**REVENUE["control"], "summ": 3}})
    assert ours["p_value"] == analyse_one(REVENUE)["p_value"]
    assert [w.split()[0] for w in ours["warnings"]] == ["aplha", "control.summ"]


def test_null_is_the_same_as_not_given():
    assert analyse_one({**REVENUE, "alpha": None, "tuning_n": None}) == analyse_one(REVENUE)


def test_an_object_gives_an_object_and_a_list_gives_a_list():
    assert analyse_document(json.dumps(REVENUE))["id"] == "revenue"
    assert analyse_document("[]") == []
    assert [r["id"] for r in analyse_document(json.dumps([{**BUYERS, "id": 7}, {**BUYERS, "id": None}]))] == [7, "#2"]


@pytest.mark.parametrize("text", ["", "{", "12", '"text"', "null", "[" * 100_000])
def test_text_that_is_no_document_is_refused_as_a_whole(text):
    with pytest.raises(DocumentError):
        analyse_document(text)


def test_whole_numbers_of_any_length_are_exact_so_that_revenue_around_a_billion_keeps_its_digits():
    rng = np.random.default_rng(6)
    control, treatment = (10**9 + rng.integers(-3, 4, 2000) + d for d in (0, 1))

    def sums(x):
        whole = [int(v) for v in x]
        return {"n": len(whole), "sum": sum(whole), "sum_squares": sum(v * v for v in whole)}

    ours = analyse_one({"kind": "mean", "control": sums(control), "treatment": sums(treatment), "effect": "absolute"})
    theirs = stats.ttest_ind(treatment - 10**9, control - 10**9, equal_var=False)
    assert ours["p_value"] == pytest.approx(theirs.pvalue, rel=1e-6)
    assert ours["warnings"] == []


def test_a_shift_keeps_the_digits_that_raw_sums_in_doubles_lose():
    rng = np.random.default_rng(7)
    control, treatment = (rng.normal(1e9 + d, 2.0, 3000) for d in (0.0, 0.2))

    def sums(x, shift):
        z = x - shift
        return {"n": len(z), "sum": float(z.sum()), "sum_squares": float((z * z).sum()), "shift": shift}

    item = {"kind": "mean", "effect": "absolute"}
    shifted = analyse_one({**item, "control": sums(control, 1e9), "treatment": sums(treatment, 1e9)})
    theirs = stats.ttest_ind(treatment - 1e9, control - 1e9, equal_var=False)
    assert shifted["p_value"] == pytest.approx(theirs.pvalue, rel=1e-4)
    raw = analyse_one({**item, "control": sums(control, 0.0), "treatment": sums(treatment, 0.0)})
    assert raw["p_value"] is None
    assert "shift" in raw["warnings"][0]


def test_decimals_are_read_with_every_digit_so_that_equal_values_have_no_variance():
    text = """{"kind": "mean", "effect": "absolute", "control": {"n": 10, "sum": 1.0, "sum_squares": 0.1},
               "treatment": {"n": 10, "sum": 2.0, "sum_squares": 0.4}}"""
    ours = analyse_document(text)
    # 0.1 ten times: in doubles 1e-18 of noise would pass for a variance
    assert (ours["standard_error"], ours["p_value"]) == (0.0, None)
    assert "nothing varies" in ours["warnings"][0]


def test_the_schema_describes_every_kind_and_holds_for_what_is_accepted():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(ONE_OF_EACH)
    for item in ONE_OF_EACH:
        validator.validate(item)
    described = {d["properties"]["kind"]["const"] for d in schema["$defs"].values() if "kind" in d["properties"]}
    assert described == set(KINDS)
    for item, _ in REFUSED[:6]:
        assert list(validator.iter_errors(item)), item


def test_every_reply_is_strict_json_and_every_null_has_a_reason():
    for item in [*ONE_OF_EACH, *(i for i, _ in UNDEFINED), *(i for i, _ in REFUSED)]:
        reply = analyse_one(item)
        json.dumps(reply, allow_nan=False)
        assert isinstance(reply["warnings"], list)
        if any(v is None for v in reply.values()):
            assert reply["warnings"], reply


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**20) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["n", "sum", "value"]), inner),
    max_leaves=6,
)
fields = st.sampled_from(sorted({name for model in KINDS.values() for name in model.model_fields} | {"weights", "x"}))


@given(st.sampled_from(ONE_OF_EACH), st.dictionaries(fields, junk, max_size=3))
@settings(max_examples=120, deadline=None)
def test_junk_in_any_field_gives_an_answer_or_an_error_but_never_a_crash(item, more):
    reply = analyse_one({**item, **more})
    json.dumps(reply, allow_nan=False)
    assert ("error" in reply) or ("kind" in reply)


numbers = st.integers(0, 10**6) | st.floats(-1e9, 1e9)
sides = st.fixed_dictionaries({"n": st.integers(1, 1000), "sum": numbers, "sum_squares": numbers})


@given(sides, sides, st.sampled_from(["relative", "absolute"]), st.sampled_from(["two", "greater", "less"]),
       st.sampled_from(["fixed", "confidence_sequence", "bayesian"]))  # fmt: skip
@settings(max_examples=120, deadline=None)
def test_interval_and_p_value_of_a_reply_never_contradict_each_other(control, treatment, effect, sided, method):
    r = analyse_one({"kind": "mean", "control": control, "treatment": treatment, "effect": effect, "sided": sided,
                     "method": method})  # fmt: skip
    if "error" in r or r["p_value"] is None or abs(r["p_value"] - 0.05) < 1e-9:
        return
    outside = (r["low"] is not None and r["low"] > 0) or (r["high"] is not None and r["high"] < 0)
    assert outside == (r["p_value"] < 0.05)
