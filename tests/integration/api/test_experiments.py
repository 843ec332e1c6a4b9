import pytest


def test_an_experiment_is_created_with_its_variants_and_metrics_and_published(client, name, outbox):
    metric = {"key": f"{name}-m", "kind": "mean", "event_type": "buy", "value": "price"}
    assert client.post("/v1/metrics", json=metric).status_code == 201
    body = {
        "key": name,
        "name": "N",
        "variants": [{"key": "a", "weight": 0.3}, {"key": "b", "weight": 0.7, "is_control": True}],
        "metrics": [{"key": metric["key"], "role": "guardrail"}],
    }
    reply = client.post("/v1/experiments", json=body)
    assert (reply.status_code, reply.headers["Location"]) == (201, f"/v1/experiments/{name}")
    created = reply.json()
    assert (created["status"], created["seed"], created["revision"]) == ("draft", name, 1)
    assert [(v["key"], v["weight"], v["is_control"]) for v in created["variants"]] == [
        ("a", 0.3, False),
        ("b", 0.7, True),
    ]
    (payload,) = outbox(name)
    assert payload["metrics"][0] | {"definition": {}} == {
        "key": metric["key"],
        "kind": "mean",
        "event_type": "buy",
        "value_property": "price",
        "direction": "increase",
        "role": "guardrail",
        "definition": {},
    }
    assert client.get(f"/v1/experiments/{name}").json() == created


def test_without_weights_the_variants_share_users_evenly(client, name):
    variants = client.post("/v1/experiments", json={"key": name, "variants": [{"key": k} for k in "abc"]}).json()[
        "variants"
    ]
    assert sum(variant["weight"] for variant in variants) == pytest.approx(1, abs=1e-12)
    assert client.post(f"/v1/experiments/{name}/start").status_code == 200


@pytest.mark.parametrize(
    ("variants", "code"),
    [
        ([{"key": "control", "weight": 0.5}, {"key": "new", "weight": 0.4}], "weights_sum"),
        ([{"key": "a", "weight": 0.5}, {"key": "b"}], "weights_sum"),
        ([{"key": "a"}, {"key": "a"}], "invalid_input"),
        ([{"key": "a", "is_control": True}, {"key": "b", "is_control": True}], "invalid_input"),
        ([{"key": "a", "weight": -1}, {"key": "b", "weight": 2}], "invalid_input"),
        ([{"key": "a/b"}], "invalid_input"),
        ([{"key": "a", "weight": "0.5"}, {"key": "b", "weight": "0.5"}], "invalid_input"),
    ],
)
def test_variants_that_break_a_rule_are_refused(client, name, database, variants, code):
    reply = client.post("/v1/experiments", json={"key": name, "variants": variants})
    assert (reply.status_code, reply.json()["code"]) == (422, code)
    assert database.execute("select count(*) from experiments where key = %s", (name,)).fetchone() == (0,)


def test_an_unknown_metric_and_a_taken_key_are_refused(client, draft, name):
    reply = client.post("/v1/experiments", json={"key": f"{name}-2", "metrics": [f"{name}-none"]})
    assert (reply.status_code, reply.json()["code"]) == (422, "unknown_metric")
    reply = client.post("/v1/experiments", json={"key": draft})
    assert (reply.status_code, reply.json()["code"]) == (409, "key_taken")


def test_the_life_of_an_experiment_goes_one_way(client, draft):
    def post(step: str) -> int:
        return client.post(f"/v1/experiments/{draft}/{step}").status_code

    assert [post("stop"), post("archive")] == [409, 409]
    assert [post("start"), post("start"), post("archive")] == [200, 409, 409]
    assert [post("stop"), post("start"), post("stop")] == [200, 409, 409]
    assert [post("archive"), post("archive"), post("start")] == [200, 409, 409]
    assert client.post(f"/v1/experiments/{draft}/start").json()["code"] == "invalid_transition"
    assert client.post(f"/v1/experiments/{draft}-none/start").json()["code"] == "experiment_not_found"
    assert client.get(f"/v1/metrics/{draft}-none").json()["code"] == "metric_not_found"


def test_an_experiment_starts_only_when_it_is_complete(client, name):
    client.post("/v1/experiments", json={"key": name})
    start = f"/v1/experiments/{name}/start"
    assert client.post(start).json()["code"] == "not_ready_to_start"
    client.post(f"/v1/experiments/{name}/variants", json={"key": "a", "weight": 0.5})
    assert client.post(start).json()["code"] == "not_ready_to_start"
    client.post(f"/v1/experiments/{name}/variants", json={"key": "b", "weight": 0.5})
    assert client.post(start).status_code == 200


def test_what_decides_the_outcome_does_not_change_once_it_runs(client, running):
    one = f"/v1/experiments/{running}"
    for change in ({"variants": [{"key": "a"}]}, {"coverage": 0.5}, {"seed": "s"}, {"metrics": []}):
        reply = client.patch(one, json=change)
        assert (reply.status_code, reply.json()["code"]) == (409, "experiment_started"), change
    assert client.patch(f"{one}/variants/a", json={"weight": 0.1}).status_code == 409
    assert client.post(f"{one}/variants", json={"key": "c"}).status_code == 409
    assert client.delete(f"{one}/variants/a").status_code == 409
    kept = client.delete(one)
    assert (kept.status_code, kept.json()["code"]) == (409, "experiment_kept")
    assert client.patch(one, json={"name": "new"}).json()["name"] == "new"
    assert client.patch(f"{one}/variants/a", json={"name": "A"}).json()["name"] == "A"


def test_keys_are_immutable(client, draft):
    assert client.patch(f"/v1/experiments/{draft}", json={"key": "other"}).status_code == 422
    assert client.patch(f"/v1/experiments/{draft}/variants/a", json={"key": "other"}).status_code == 422


def test_of_two_editors_with_the_same_version_one_is_told(client, draft):
    etag = client.get(f"/v1/experiments/{draft}").headers["ETag"]
    first = client.patch(f"/v1/experiments/{draft}", json={"name": "mine"}, headers={"If-Match": etag})
    second = client.patch(f"/v1/experiments/{draft}", json={"name": "yours"}, headers={"If-Match": etag})
    assert first.status_code == 200
    assert first.headers["ETag"] != etag
    assert (second.status_code, second.json()["code"]) == (412, "precondition_failed")
    assert client.get(f"/v1/experiments/{draft}").json()["name"] == "mine"


def test_a_draft_can_be_deleted_and_its_key_used_again(client, draft):
    assert client.delete(f"/v1/experiments/{draft}").status_code == 204
    assert client.get(f"/v1/experiments/{draft}").status_code == 404
    assert client.post("/v1/experiments", json={"key": draft}).status_code == 201


def test_variants_of_a_draft_are_edited_one_by_one(client, draft):
    variants = f"/v1/experiments/{draft}/variants"
    assert client.post(variants, json={"key": "c", "is_control": True}).status_code == 201
    assert client.post(variants, json={"key": "c"}).json()["code"] == "key_taken"
    assert client.patch(f"{variants}/c", json={"weight": 0.25}).json()["weight"] == 0.25
    assert client.delete(f"{variants}/b").status_code == 204
    assert client.delete(f"{variants}/b").json()["code"] == "variant_not_found"
    assert [(v["key"], v["is_control"]) for v in client.get(variants).json()] == [("a", False), ("c", True)]


def test_every_change_is_kept_with_who_and_when(client, draft, database):
    client.patch(f"/v1/experiments/{draft}", json={"name": "new"}, headers={"X-Request-ID": f"r-{draft}"})
    rows = database.execute(
        """select action, actor, before ->> 'name', after ->> 'name', at is not null
           from audit_log where subject = %s order by number""",
        (draft,),
    ).fetchall()
    assert rows == [("create", "bootstrap", None, draft, True), ("change", "bootstrap", draft, "new", True)]
    request = database.execute("select actor from audit_log where request_id = %s", (f"r-{draft}",)).fetchone()
    assert request == ("bootstrap",)


def test_a_metric_in_use_keeps_what_it_measures_and_its_other_changes_are_published(client, name, outbox):
    client.post("/v1/metrics", json={"key": name, "kind": "mean", "event_type": "buy"})
    body = {"key": name, "variants": [{"key": "a"}, {"key": "b"}], "metrics": [name]}
    client.post("/v1/experiments", json=body)
    assert client.patch(f"/v1/metrics/{name}", json={"event_type": "order"}).status_code == 200
    assert outbox(name)[-1]["metrics"][0]["event_type"] == "order"
    client.post(f"/v1/experiments/{name}/start")
    reply = client.patch(f"/v1/metrics/{name}", json={"event_type": "buy"})
    assert (reply.status_code, reply.json()["code"]) == (409, "metric_in_use")
    assert client.patch(f"/v1/metrics/{name}", json={"direction": "decrease"}).status_code == 200
    assert outbox(name)[-1]["metrics"][0]["direction"] == "decrease"


def test_lists_go_on_where_the_cursor_says(client, name):
    keys = [f"{name}-{n}" for n in range(5)]
    for key in keys:
        client.post("/v1/metrics", json={"key": key, "kind": "proportion", "event_type": "x"})
    found, cursor = [], None
    while True:
        page = client.get("/v1/metrics", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        found += [metric["key"] for metric in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [key for key in found if key in keys] == keys
    assert len(set(found)) == len(found)
    assert client.get("/v1/metrics", params={"cursor": "nonsense"}).json()["code"] == "invalid_cursor"


def test_an_experiment_beyond_what_the_stream_carries_is_refused_wherever_it_would_grow(client, name, database, outbox):
    longest = [{"property": "p", "op": "in", "value": ["x" * 200] * 300}]
    keys = [f"{name}-{n}" for n in range(18)]
    for key in keys:
        metric = {"key": key, "kind": "mean", "event_type": "buy", "definition": {"filters": longest}}
        assert client.post("/v1/metrics", json=metric).status_code == 201
    body = {"key": name, "variants": [{"key": "a"}, {"key": "b"}]}
    assert client.post("/v1/metrics", json=metric | {"key": name, "definition": {}}).status_code == 201
    refused = [client.post("/v1/experiments", json=body | {"metrics": keys})]
    assert client.post("/v1/experiments", json=body | {"metrics": [name, *keys[1:]]}).status_code == 201
    refused.append(client.patch(f"/v1/experiments/{name}", json={"metrics": keys}))
    refused.append(client.patch(f"/v1/metrics/{name}", json={"definition": {"filters": longest}}))
    for reply in refused:
        assert (reply.status_code, reply.json()["code"]) == (422, "invalid_input")
        assert "1048576 bytes" in reply.json()["rule"]
    assert client.get(f"/v1/metrics/{name}").json()["definition"] == {}
    assert len(outbox(name)) == 1
    # One that is larger, from before, is still ended.
    assert client.post(f"/v1/experiments/{name}/start").status_code == 200
    widened = "update metrics set definition = (select definition from metrics where key = %s) where key = %s"
    database.execute(widened, (keys[0], name))
    assert client.post(f"/v1/experiments/{name}/phases", json={"coverage": 0.5, "reason": "r"}).status_code == 422
    assert client.post(f"/v1/experiments/{name}/stop").status_code == 200
