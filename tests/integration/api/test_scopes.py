"""Every route of the document opens to exactly one scope, and to nobody without a token."""

import httpx
import pytest

SCOPES = ("ingest", "read", "manage", "audit")
SENDING = {
    "POST /v1/events",
    "POST /v1/events/batch",
    "POST /v1/assignments/batch",
    "POST /v1/experiments/{key}/assignments",
    "POST /v1/users",
    "PATCH /v1/users/{user_id}",
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
