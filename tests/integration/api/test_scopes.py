"""Every route of the document opens to exactly one scope, and to nobody without a token."""

import json
from uuid import uuid4

import httpx
import pytest

SCOPES = ("ingest", "read", "manage", "audit")
STORED = {"note": "what is stored of somebody"}
EVENT = {"id": str(uuid4()), "user_id": "USER", "event_type": "x"}
# What a sender may ask about a user of whom all of this is stored.
SENDING: dict[str, list[dict]] = {
    "POST /v1/events": [EVENT, EVENT | {"properties": STORED}],
    "POST /v1/events/batch": [{"events": [EVENT, EVENT | {"properties": STORED}]}],
    "POST /v1/assignments/batch": [{"assignments": [{"experiment": "KEY", "user_id": "USER", "variant_key": "b"}]}],
    "POST /v1/experiments/{key}/assignments": [{"user_id": "USER"}, {"user_id": "USER", "variant_key": "b"}],
    "POST /v1/users": [{"user_id": "USER"}, {"user_id": "USER", "attributes": STORED}],
    "PATCH /v1/users/{user_id}": [{"attributes": {}}, {"attributes": {"more": None}}],
}


def _scope(route: str) -> str:
    if route in SENDING:
        return "ingest"
    if route == "GET /v1/audit":
        return "audit"
    definitions = route.startswith("GET ") and "/v1/tokens" not in route and "/v1/privacy" not in route
    return "read" if definitions else "manage"


@pytest.fixture(scope="module")
def tokens(client) -> dict[str, str]:
    made = {scope: client.post("/v1/tokens", json={"name": f"only {scope}", "scopes": [scope]}) for scope in SCOPES}
    return {scope: reply.json()["token"] for scope, reply in made.items()}


def test_every_route_demands_its_scope(api_url, client, tokens):
    paths = client.get("/openapi.json").json()["paths"]
    routes = [f"{m.upper()} {p}" for p, methods in paths.items() if p.startswith("/v1/") for m in methods]
    assert len(routes) > 30
    wrong = {}
    for route in routes:
        method, path = route.split(" ")
        for name in ("key", "variant_key", "user_id"):
            path = path.replace("{" + name + "}", "nothing-of-this-name")
        path = path.replace("{token_id}", "999999999").replace("{erasure_id}", "999999999")
        with httpx.Client(base_url=api_url, trust_env=False, timeout=30) as nobody:
            assert nobody.request(method, path).status_code == 401, route
            # A body that is no JSON: who may not come in is told so before it is read.
            replies = {
                scope: nobody.request(
                    method, path, content=b"{", headers={"Authorization": f"Bearer {token}"}
                ).status_code
                for scope, token in tokens.items()
            }
        opened = [scope for scope, status in replies.items() if status not in (401, 403)]
        if opened != [_scope(route)]:
            wrong[route] = opened
    assert wrong == {}


def test_a_token_that_may_only_send_is_told_nobodys_attributes_or_properties(client, api_url, tokens, running):
    def filled(body: dict) -> dict:
        return json.loads(json.dumps(body).replace("USER", running).replace("KEY", running))

    variant = {"user_id": running, "variant_key": "a", "attributes": STORED}
    stored = [
        client.post("/v1/users", json={"user_id": running, "attributes": STORED}),
        client.post(f"/v1/experiments/{running}/assignments", json=variant),
        client.post("/v1/events", json=filled(EVENT | {"properties": STORED})),
    ]
    assert [reply.status_code for reply in stored] == [201, 201, 202]
    only_sends = {"Authorization": f"Bearer {tokens['ingest']}"}
    statuses = {}
    for route, bodies in SENDING.items():
        method, path = route.split(" ")
        at = f"{api_url}{path.format(key=running, user_id=running)}"
        replies = [httpx.request(method, at, json=filled(body), headers=only_sends, trust_env=False) for body in bodies]
        statuses[route] = [reply.status_code for reply in replies]
        for reply in replies:
            assert STORED["note"] not in f"{reply.headers}{reply.text}", route
    assert statuses == {
        "POST /v1/events": [409, 202],
        "POST /v1/events/batch": [202],
        "POST /v1/assignments/batch": [200],
        "POST /v1/experiments/{key}/assignments": [200, 409],
        "POST /v1/users": [409, 200],
        "PATCH /v1/users/{user_id}": [200, 200],
    }
    assert client.patch(f"/v1/users/{running}", json={"attributes": {}}).json()["attributes"] == STORED
