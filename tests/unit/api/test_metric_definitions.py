"""What a metric's definition may hold: accepted as the pipeline reads it, refused with a reason."""

import json

import pytest
from pydantic import ValidationError

from neonblue_api.errors import InvalidInput
from neonblue_api.metrics import _check as check
from neonblue_api.models.metrics import MetricIn
from neonblue_pipeline.metric_definitions import problems

FILTER = {"property": "shop", "op": "=", "value": "de"}


@pytest.mark.parametrize(
    ("kind", "definition"),
    [
        ("mean", {}),
        ("mean", {"cap": 50.0, "filters": [FILTER], "window": {"from_days": 0.0, "to_days": 3.5}}),
        ("mean", {"cap_percentile": 0.99}),
        ("ratio", {"cap_percentile": 0.99, "ignore_zeros": True, "denominator": {"event_type": "session"}}),
        ("proportion", {"margin": 0.02, "minimum_effect": 0.05}),
        ("proportion", {"filters": [{"property": "gift", "op": "=", "value": True}]}),
        ("proportion", {"filters": [{"property": "n", "op": ">=", "value": 9007199254740993}]}),
        ("proportion", {"filters": [{"property": "n", "op": "<", "value": 12345678901234567890123}]}),
        ("proportion", {"filters": [{"property": "n", "op": "!=", "value": -9007199254740992}]}),
        ("mean", {"cap": 1e20}),
        ("proportion", {"filters": [{"property": "shop", "op": "in", "value": ["de", "fr"]}]}),
        ("retention", {"window": {"from_days": 7.0, "to_days": 8.0}}),
        ("ratio", {"denominator": {"event_type": "session", "value": "minutes", "filters": [FILTER]}}),
        ("quantile", {"quantile": 0.9}),
        ("quantile", {"quantile": 0.5, "of": "users", "ignore_zeros": True, "window": {"to_days": 7.0}}),
        ("quantile", {"quantile": 0.99, "of": "events", "filters": [FILTER]}),
        ("funnel", {"steps": [{"event_type": "cart"}, {"event_type": "buy", "filters": [FILTER]}]}),
        ("funnel", {"steps": [{"event_type": "buy"}], "window": {"to_days": 3.0}}),
    ],
)
def test_a_definition_is_kept_as_it_was_given_and_the_pipeline_applies_all_of_it(kind, definition):
    metric = MetricIn(key="m", kind=kind, event_type="buy", definition=definition)
    check(metric.key, metric.kind, metric.value, metric.definition)
    kept = metric.definition.kept()
    assert json.loads(kept) == definition
    assert list(problems(kind, kept)) == []


@pytest.mark.parametrize(
    ("kind", "definition", "said"),
    [
        ("mean", {"winsorise": 0.99}, "definition.winsorise"),
        ("mean", {"window": {"from_days": 3, "to_days": 3}}, "to_days must be above from_days"),
        ("mean", {"filters": [FILTER | {"op": "like"}]}, "0.op Input should be"),
        ("mean", {"filters": [FILTER | {"op": ">"}]}, "op > compares numbers"),
        ("mean", {"filters": [FILTER | {"op": "in"}]}, "op in takes a list"),
        ("mean", {"filters": [FILTER | {"value": 12345678901234567890123}]}, "op = takes numbers within ±2^53"),
        ("mean", {"filters": [FILTER | {"op": "!=", "value": -1e20}]}, "op != takes numbers within ±2^53"),
        ("mean", {"filters": [FILTER | {"value": "x" * 257}]}, "at most 256 characters"),
        ("mean", {"filters": [FILTER | {"op": "in", "value": ["x" * 257]}]}, "at most 256 characters"),
        ("mean", {"filters": [FILTER | {"op": "in", "value": ["x"] * 1001}]}, "at most 1000 items"),
        ("mean", {"filters": [FILTER | {"op": "in", "value": ["ü" * 200] * 200}]}, "at most 65536 are allowed"),
        ("mean", {"window": {"to_days": 36_501}}, "less than or equal to 36500"),
        ("mean", {"margin": 1e9}, "definition.margin"),
        ("mean", {"cap_percentile": 1.0}, "definition.cap_percentile"),
        ("mean", {"cap_percentile": 99}, "definition.cap_percentile"),
        ("quantile", {"quantile": 0}, "definition.quantile"),
        ("quantile", {"quantile": 0.5, "of": "sessions"}, "definition.of"),
        ("funnel", {"steps": []}, "definition.steps"),
        ("funnel", {"steps": [{"event_type": ""}]}, "definition.steps.0.event_type"),
        ("funnel", {"steps": [{"event_type": "x", "value": "y"}]}, "definition.steps.0.value"),
        ("median", {}, "kind"),
    ],
)
def test_a_field_that_is_not_well_formed_is_refused(kind, definition, said):
    with pytest.raises(ValidationError) as refused:
        MetricIn(key="m", kind=kind, event_type="buy", definition=definition)
    found = " ".join(f"{'.'.join(map(str, error['loc']))} {error['msg']}" for error in refused.value.errors())
    assert said in found


@pytest.mark.parametrize(
    ("kind", "value", "definition", "field", "said"),
    [
        ("proportion", None, {"cap": 5}, "definition.cap", "is for metrics of kind mean, ratio; this is a proportion"),
        ("proportion", "x", {}, "value", "value is for metrics of kind mean, ratio, quantile"),
        ("ratio", None, {}, "definition.denominator", "a ratio needs it"),
        ("mean", None, {"denominator": {"event_type": "x"}}, "definition.denominator", "leave it out"),
        ("retention", None, {}, "definition.window", "a retention needs it"),
        ("quantile", None, {}, "definition.quantile", "a quantile needs it"),
        ("mean", None, {"quantile": 0.5}, "definition.quantile", "this is a mean"),
        ("mean", None, {"of": "users"}, "definition.of", "this is a mean"),
        ("funnel", None, {}, "definition.steps", "a funnel needs it"),
        ("proportion", None, {"steps": [{"event_type": "x"}]}, "definition.steps", "this is a proportion"),
        ("mean", None, {"cap": 5, "cap_percentile": 0.9}, "definition.cap_percentile", "not both"),
        ("mean", None, {"ignore_zeros": True}, "definition.ignore_zeros", "belongs to cap_percentile"),
        ("quantile", None, {"quantile": 0.5, "ignore_zeros": True}, "definition.ignore_zeros", "set of to users"),
        ("quantile", None, {"quantile": 0.5, "cap_percentile": 0.9}, "definition.cap_percentile", "this is a quantile"),
    ],
)
def test_what_a_kind_does_not_know_or_lacks_is_refused_with_its_field_and_rule(kind, value, definition, field, said):
    metric = MetricIn(key="m", kind=kind, event_type="buy", value=value, definition=definition)
    with pytest.raises(InvalidInput) as refused:
        check(metric.key, metric.kind, metric.value, metric.definition)
    problem = refused.value.problem("r")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert said in problem["rule"]
    assert said in problem["detail"]
    assert problem["way_out"]
