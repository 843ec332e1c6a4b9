"""A token is followed by another without a moment in which neither works."""

from datetime import UTC, datetime, timedelta

import httpx


def _status(client: httpx.Client, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{client.base_url}/v1/metrics", headers=headers, trust_env=False).status_code


def _made(client: httpx.Client, name: str, **fields: object) -> dict:
    reply = client.post("/v1/tokens", json={"name": name, "scopes": ["read", "audit"]} | fields)
    assert reply.status_code == 201, reply.text
    return reply.json()


def _rotated(client: httpx.Client, token: dict, **wanted: object) -> dict:
    reply = client.post(f"/v1/tokens/{token['token_id']}/rotate", json=wanted)
    assert reply.status_code == 201, reply.text
    return reply.json()


def _read(client: httpx.Client, token: dict) -> dict:
    cursor = None
    while True:
        page = client.get("/v1/tokens", params={"limit": 1000} | ({"cursor": cursor} if cursor else {})).json()
        for item in page["items"]:
            if item["token_id"] == token["token_id"]:
                return item
        cursor = page["next_cursor"]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_both_work_until_the_overlap_ends(client, name):
    old = _made(client, name)
    new = _rotated(client, old)
    assert (new["name"], new["scopes"], new["expires_at"]) == (name, ["audit", "read"], None)
    assert new["replaces"] == old["token_id"]
    assert (_status(client, old["token"]), _status(client, new["token"])) == (200, 200)
    ends = _time(_read(client, old)["expires_at"])
    assert abs(ends - datetime.now(UTC) - timedelta(days=1)) < timedelta(minutes=5)
    newest = _rotated(client, new, overlap_s=0)
    assert (_status(client, new["token"]), _status(client, newest["token"])) == (401, 200)


def test_the_new_one_is_valid_as_long_as_the_old_one_was_meant_to_be(client, name):
    soon = datetime.now(UTC) + timedelta(hours=10)
    old = _made(client, name, expires_at=soon.isoformat())
    new = _rotated(client, old)
    meant = _time(old["expires_at"]) - _time(old["created_at"])
    assert _time(new["expires_at"]) - _time(new["created_at"]) == meant
    assert _time(_read(client, old)["expires_at"]) == soon
    chosen = datetime.now(UTC) + timedelta(days=3)
    assert _time(_rotated(client, new, expires_at=chosen.isoformat())["expires_at"]) == chosen


def test_one_that_is_valid_until_the_last_moment_of_all_is_followed_by_one_that_is_too(client, name):
    last = "9999-12-31T23:59:59.999999Z"
    assert _rotated(client, _made(client, name, expires_at=last))["expires_at"] == last


def test_what_ended_or_never_was_is_not_rotated(client, name):
    old = _made(client, name)
    client.delete(f"/v1/tokens/{old['token_id']}")
    reply = client.post(f"/v1/tokens/{old['token_id']}/rotate", json={})
    assert (reply.status_code, reply.json()["code"]) == (409, "token_ended")
    expired = _made(client, name, expires_at="2026-01-01T00:00:00Z")
    assert client.post(f"/v1/tokens/{expired['token_id']}/rotate", json={}).status_code == 409
    assert client.post("/v1/tokens/999999999/rotate", json={}).json()["code"] == "token_not_found"
    assert client.post(f"/v1/tokens/{old['token_id']}/rotate", json={"overlap_s": -1}).status_code == 422
