"""What a metric's definition may hold: accepted as the pipeline reads it, refused with a reason."""

import json

import pytest
from pydantic import ValidationError

from neonblue_api.models.metrics import MetricIn

FILTER = {"property": "shop", "op": "=", "value": "de"}


@pytest.mark.parametrize(
    ("kind", "definition"),
    [
        ("mean", {}),
        ("mean", {"cap": 50.0, "filters": [FILTER], "window": {"from_days": 0.0, "to_days": 3.5}}),
        ("proportion", {"margin": 0.02, "minimum_effect": 0.05}),
        ("proportion", {"filters": [{"property": "gift", "op": "=", "value": True}]}),
        ("proportion", {"filters": [{"property": "n", "op": ">=", "value": 9007199254740993}]}),
        ("proportion", {"filters": [{"property": "shop", "op": "in", "value": ["de", "fr"]}]}),
        ("retention", {"window": {"from_days": 7.0, "to_days": 8.0}}),
        ("ratio", {"denominator": {"event_type": "session", "value": "minutes", "filters": [FILTER]}}),
    ],
)
def test_a_definition_is_kept_as_it_was_given(kind, definition):
    metric = MetricIn(key="m", kind=kind, event_type="buy", definition=definition)
    assert json.loads(metric.definition.model_dump_json(exclude_unset=True, exclude_none=True)) == definition


@pytest.mark.parametrize(
    ("kind", "definition", "said"),
    [
        ("mean", {"winsorise": 0.99}, "definition.winsorise"),
        ("proportion", {"cap": 5}, "cap is for metrics of kind mean and ratio"),
        ("ratio", {}, "denominator is needed by a ratio"),
        ("mean", {"denominator": {"event_type": "x"}}, "denominator is needed by a ratio and by no other kind"),
        ("retention", {}, "a retention needs definition.window"),
        ("mean", {"window": {"from_days": 3, "to_days": 3}}, "to_days must be above from_days"),
        ("mean", {"filters": [FILTER | {"op": "like"}]}, "0.op Input should be"),
        ("mean", {"filters": [FILTER | {"op": ">"}]}, "op > compares numbers"),
        ("mean", {"filters": [FILTER | {"op": "in"}]}, "op in takes a list"),
        ("quantile", {}, "kind"),
    ],
)
def test_a_definition_that_the_pipeline_would_not_apply_is_refused(kind, definition, said):
    with pytest.raises(ValidationError) as refused:
        MetricIn(key="m", kind=kind, event_type="buy", definition=definition)
    found = " ".join(f"{'.'.join(map(str, error['loc']))} {error['msg']}" for error in refused.value.errors())
    assert said in found
