"""Kinds of metrics and their definitions: what is kept and published, what is refused at POST and PATCH."""

import pytest

STEPS = [{"event_type": "cart"}, {"event_type": "buy", "filters": [{"property": "n", "op": ">", "value": 1}]}]


@pytest.mark.parametrize(
    ("kind", "definition"),
    [
        ("quantile", {"quantile": 0.9}),
        ("quantile", {"quantile": 0.5, "of": "users", "ignore_zeros": True}),
        ("funnel", {"steps": STEPS, "window": {"to_days": 3}}),
        ("mean", {"cap_percentile": 0.99}),
    ],
)
def test_a_definition_is_published_as_it_was_given(client, name, outbox, kind, definition):
    metric = {"key": name, "kind": kind, "event_type": "view", "definition": definition}
    assert client.post("/v1/metrics", json=metric).status_code == 201
    assert client.post("/v1/experiments", json={"key": name, "metrics": [name]}).status_code == 201
    assert outbox(name)[-1]["metrics"][0]["definition"] == definition
    assert client.get(f"/v1/metrics/{name}").json()["definition"] == definition


@pytest.mark.parametrize(
    ("definition", "field", "found"),
    [
        ({}, "definition.quantile", None),
        ({"quantile": 1.5}, "definition.quantile", "1.5"),
        ({"quantile": 0.5, "cap_percentile": 0.9}, "definition.cap_percentile", "0.9"),
        ({"quantile": 0.5, "steps": STEPS[:1]}, "definition.steps", "[{'event_type': 'cart'}]"),
        ({"quantile": 0.5, "of": "days"}, "definition.of", "'days'"),
        ({"quantile": 0.5, "percentile": 0.9}, "definition.percentile", "0.9"),
    ],
)
def test_what_does_not_fit_the_kind_is_refused_alike_when_made_and_when_changed(client, name, definition, field, found):
    metric = {"key": name, "kind": "quantile", "event_type": "load", "value": "ms"}
    made = client.post("/v1/metrics", json=metric | {"definition": definition})
    assert client.post("/v1/metrics", json=metric | {"definition": {"quantile": 0.9}}).status_code == 201
    changed = client.patch(f"/v1/metrics/{name}", json={"definition": definition})
    for reply in (made, changed):
        problem = reply.json()
        assert (reply.status_code, problem["code"]) == (422, "invalid_input")
        (error,) = problem["errors"]
        assert error["field"] == field
        assert error["message"]
        assert error.get("found") == found
        assert problem["rule"]
        assert problem["way_out"]
    assert client.get(f"/v1/metrics/{name}").json()["definition"] == {"quantile": 0.9}


def test_every_field_that_does_not_fit_is_named_at_once(client, name):
    definition = {"cap": 5, "quantile": 0.5, "ignore_zeros": True}
    metric = {"key": name, "kind": "retention", "event_type": "open", "value": "x", "definition": definition}
    problem = client.post("/v1/metrics", json=metric).json()
    assert {error["field"] for error in problem["errors"]} == {
        "value",
        "definition.cap",
        "definition.quantile",
        "definition.ignore_zeros",
        "definition.window",
    }


def test_a_value_is_refused_for_a_kind_that_sums_nothing_also_when_changed(client, name):
    assert client.post("/v1/metrics", json={"key": name, "kind": "proportion", "event_type": "x"}).status_code == 201
    problem = client.patch(f"/v1/metrics/{name}", json={"value": "y"}).json()
    assert [error["field"] for error in problem["errors"]] == ["value"]
    assert "this is a proportion" in problem["rule"]
