from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import psycopg
import pytest
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from tests.integration.api.fix_api import NOBODY, TOKEN, served_api


def _with(client, token: str) -> httpx.Client:
    return httpx.Client(base_url=client.base_url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)


def _token(client, name, *scopes, **fields):
    reply = client.post("/v1/tokens", json={"name": name, "scopes": list(scopes)} | fields)
    assert reply.status_code == 201, reply.text
    return reply.json()


def test_a_token_opens_what_its_scopes_name_and_nothing_else(client, name):
    event = {"user_id": name, "event_type": "x"}
    metric = {"key": name, "kind": "mean", "event_type": "x"}
    opened = {}
    for scope in ("ingest", "read", "manage"):
        with _with(client, _token(client, name, scope)["token"]) as own:
            opened[scope] = [
                own.post("/v1/events", json=event).status_code,
                own.get("/v1/metrics").status_code,
                own.post("/v1/metrics", json=metric).status_code,
            ]
    assert opened == {"ingest": [202, 403, 403], "read": [403, 200, 403], "manage": [403, 403, 201]}
    with _with(client, _token(client, name, "read")["token"]) as own:
        refused = own.post("/v1/events", json=event).json()
        assert (refused["code"], "ingest" in refused["detail"]) == ("forbidden", True)


def test_without_a_valid_token_nothing_opens(client):
    for headers in (
        {},
        {"Authorization": "Bearer nb_wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": ""},
    ):
        reply = httpx.get(f"{client.base_url}/v1/metrics", headers=headers, trust_env=False)
        assert (reply.status_code, reply.json()["code"]) == (401, "unauthorized")
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert httpx.get(f"{client.base_url}{path}", trust_env=False).status_code == 200


def test_a_revoked_and_an_expired_token_open_nothing(client, name):
    made = _token(client, name, "read")
    with _with(client, made["token"]) as own:
        assert own.get("/v1/metrics").status_code == 200
        assert client.delete(f"/v1/tokens/{made['token_id']}").status_code == 204
        assert own.get("/v1/metrics").status_code == 401
    with _with(client, _token(client, name, "read", expires_at="2026-01-01T00:00:00Z")["token"]) as own:
        reply = own.get("/v1/metrics")
        assert reply.status_code == 401
        assert "expired" in reply.json()["detail"]


def test_a_token_is_shown_once_and_only_its_hash_is_kept(client, name, database):
    made = _token(client, name, "read", "ingest")
    listed, cursor = [], None
    while True:
        page = client.get("/v1/tokens", params={"cursor": cursor} if cursor else None).json()
        listed += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    (found,) = [token for token in listed if token["name"] == name]
    assert "token" not in found
    assert found["scopes"] == ["ingest", "read"]
    with _with(client, made["token"]) as own:
        own.get("/v1/metrics")
    row = database.execute(
        "select token_sha256 = sha256(%s::bytea), last_used_at is not null from api_tokens where name = %s",
        (made["token"].encode(), name),
    ).fetchone()
    assert row == (True, True)
    assert client.delete("/v1/tokens/999999999").json()["code"] == "token_not_found"
    assert client.post("/v1/tokens", json={"name": name, "scopes": ["root"]}).status_code == 422


def test_who_changed_what_and_when_can_be_read_page_by_page(client, name):
    editor, reader = _token(client, f"{name}-editor", "manage"), _token(client, f"{name}-reader", "read")
    with _with(client, editor["token"]) as own:
        created = own.post("/v1/experiments", json={"key": name}, headers={"X-Request-ID": name}).json()
        renamed = own.patch(f"/v1/experiments/{name}", json={"name": "N"}).json()
        own.delete(f"/v1/experiments/{name}")
        own.post("/v1/metrics", json={"key": name, "kind": "proportion", "event_type": "x"})
    with _with(client, reader["token"]) as own:
        asked = {"object_type": "experiment", "object_key": name, "limit": 2}
        first = own.get("/v1/changes", params=asked).json()
        rest = own.get("/v1/changes", params=asked | {"cursor": first["next_cursor"]}).json()
        changes = first["items"] + rest["items"]
        assert [(change["action"], change["before"], change["after"]) for change in changes] == [
            ("delete", renamed, None),
            ("change", created, renamed),
            ("create", None, created),
        ]
        assert {change["changed_by"] for change in changes} == {f"{name}-editor"}
        assert changes[2]["request_id"] == name
        assert changes[2]["changed_at"] >= created["created_at"]
        assert rest["next_cursor"] is None
        of_token = {"object_type": "token", "object_key": str(editor["token_id"])}
        assert own.get("/v1/changes", params=of_token).json()["items"] == []
    assert [change["action"] for change in client.get("/v1/changes", params=of_token).json()["items"]] == ["create"]


def test_a_token_stops_working_when_it_expires_however_long_tokens_are_remembered(postgres_url, name):
    with served_api(postgres_url, NOBODY, NEONBLUE_TOKEN_CACHE="3600") as (url, _):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
            soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
            made = client.post("/v1/tokens", json={"name": name, "scopes": ["read"], "expires_at": soon}).json()
            with _with(client, made["token"]) as own:
                assert own.get("/v1/metrics").status_code == 200

                @retry(
                    retry=retry_if_result(lambda reply: reply.status_code == 200),
                    stop=stop_after_delay(30),
                    wait=wait_fixed(0.1),
                )
                def refused() -> httpx.Response:
                    return own.get("/v1/metrics")

                assert (refused().status_code, "expired" in refused().json()["detail"]) == (401, True)


def test_a_token_that_is_looked_up_while_it_is_revoked_is_not_remembered(postgres_url, database, name):
    patient = {"NEONBLUE_TOKEN_CACHE": "3600", "NEONBLUE_STATEMENT_TIMEOUT": "30", "NEONBLUE_DATABASE_DEADLINE": "30"}
    with (
        served_api(postgres_url, NOBODY, **patient) as (url, _),
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60, trust_env=False) as client,
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(postgres_url) as revoking,
    ):
        made, other = (_token(client, name, "read") for _ in range(2))
        revoking.execute("update api_tokens set revoked_at = now() where token_id = %s", (made["token_id"],))
        with _with(client, made["token"]) as own:
            under_way = pool.submit(own.get, "/v1/metrics", timeout=60)
            waiting = "select from pg_stat_activity where wait_event_type = 'Lock' and query like '%update api_tokens%'"
            retry(retry=retry_if_result(lambda row: row is None), stop=stop_after_delay(30), wait=wait_fixed(0.05))(
                lambda: database.execute(waiting).fetchone()
            )()
            assert client.delete(f"/v1/tokens/{other['token_id']}").status_code == 204
            revoking.commit()
            under_way.result()
            assert own.get("/v1/metrics").status_code == 401


@pytest.mark.parametrize("suffix", ["", "/a/b", " ü👩‍🚀", "?x=1#y", "%2F"])
def test_any_user_is_told_about_read_and_changed(client, name, suffix):
    user = name + suffix
    path = f"/v1/users/{quote(user, safe='')}"
    body = {"user_id": user, "attributes": {"n": 9007199254740993, "plan": "a"}}
    first, again = client.post("/v1/users", json=body), client.post("/v1/users", json=body)
    assert (first.status_code, again.status_code) == (201, 200)
    other = client.post("/v1/users", json=body | {"attributes": {}})
    assert (other.status_code, other.json()["code"]) == (409, "key_taken")
    read = client.get(path)
    assert read.json() == first.json()
    assert read.json()["attributes"] == body["attributes"]
    change = {"attributes": {"plan": None, "city": "Graz"}}
    changed = client.patch(path, json=change, headers={"If-Match": read.headers["ETag"]})
    assert changed.json()["attributes"] == {"n": 9007199254740993, "city": "Graz"}
    late = client.patch(path, json=change, headers={"If-Match": read.headers["ETag"]})
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")


def test_changes_that_add_up_to_more_than_attributes_may_have_are_refused(client, name):
    path = f"/v1/users/{name}"
    first = client.post("/v1/users", json={"user_id": name, "attributes": {"a": "x" * 40_000}}).json()
    refused = client.patch(path, json={"attributes": {"b": "y" * 40_000}})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")
    assert "65536" in refused.json()["detail"]
    assert client.get(path).json() == first
    assert client.patch(path, json={"attributes": {"a": None, "b": "y" * 40_000}}).status_code == 200


def test_users_are_listed_page_by_page(client, name):
    users = [f"{name}-{n}" for n in range(5)]
    for user in users:
        client.post("/v1/users", json={"user_id": user})
    found, cursor = [], None
    while True:
        page = client.get("/v1/users", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        found += [item["user_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [user for user in found if user in users] == users
    assert client.get("/v1/users/nobody-of-this-name").json()["code"] == "user_not_found"


def test_a_users_events_are_listed_the_latest_first(client, name, running):
    client.post(f"/v1/experiments/{running}/assignments", json={"user_id": name})
    events = [{"user_id": name, "event_type": f"e{n}", "timestamp": f"2026-06-0{n + 1}T00:00:00Z"} for n in range(5)]
    events[4]["experiment"] = running
    client.post("/v1/events/batch", json={"events": events})
    first = client.get("/v1/events", params={"user_id": name, "limit": 3}).json()
    rest = client.get("/v1/events", params={"user_id": name, "limit": 3, "cursor": first["next_cursor"]}).json()
    assert [event["event_type"] for event in first["items"] + rest["items"]] == ["e4", "e3", "e2", "e1", "e0"]
    assert rest["next_cursor"] is None
    assert first["items"][0]["experiment"] == running
    one = client.get("/v1/events", params={"user_id": name, "experiment": running}).json()["items"]
    assert [event["event_type"] for event in one] == ["e4"]
    assert client.get("/v1/events").status_code == 422
