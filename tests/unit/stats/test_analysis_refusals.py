"""The JSON format of `neonblue analyze`: what is null and why, what is refused by name."""

import json

import pytest

from neonblue_stats.analysis import DocumentError, analyse_document, analyse_one
from tests.unit.stats.fix_requests import BUYERS, REFUSED, REVENUE, UNDEFINED


@pytest.mark.parametrize(("item", "why"), UNDEFINED, ids=[w for _, w in UNDEFINED])
@pytest.mark.parametrize("method", ["fixed", "confidence_sequence", "bayesian"])
def test_what_is_undefined_is_null_and_says_why(item, why, method):
    ours = analyse_one({**item, "method": method})
    assert "error" not in ours
    assert ours["low"] is None
    assert ours["high"] is None
    assert ours["p_value"] is None
    assert any(why in w for w in ours["warnings"]), ours["warnings"]


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
