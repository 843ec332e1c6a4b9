"""The JSON format of `neonblue analyze`: digits, schema, and what no input may do to it."""

import json

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from neonblue_stats.analysis import analyse_document, analyse_one, json_schema
from neonblue_stats.analysis.request import KINDS
from tests.unit.stats.fix_requests import ONE_OF_EACH, REFUSED, UNDEFINED


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
