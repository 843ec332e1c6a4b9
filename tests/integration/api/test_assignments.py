import asyncio
import time

import pytest
from msgspec import Raw

from neonblue_api.assigning import Assigning
from neonblue_api.assignment_input import AssignmentRow
from neonblue_api.bucketing import choose_variant
from neonblue_api.database import Database
from neonblue_api.known import Definition, Known
from neonblue_api.pseudonyms import pseudonyms
from neonblue_api.settings import Settings
from tests.integration.api.fix_api import TOKEN


def _assign(client, experiment, user, **fields):
    return client.post(f"/v1/experiments/{experiment}/assignments", json={"user_id": user, **fields})


def test_a_user_keeps_the_variant_of_the_first_assignment(client, running, outbox):
    first, again = _assign(client, running, f"{running}-u"), _assign(client, running, f"{running}-u")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json() | {"outcome": "existing"}
    (payload,) = outbox(f"{running}-u")
    assert (payload["variant_key"], payload["assigned_at"]) == (
        first.json()["variant_key"],
        first.json()["assigned_at"],
    )
    assert payload["source"] == "hash"


def test_an_assignment_made_elsewhere_is_recorded_as_it_was(client, running, outbox):
    user = f"{running}-u"
    reply = _assign(
        client,
        running,
        user,
        variant_key="b",
        assigned_at="2026-03-01T12:00:00+01:00",
        source="app",
        attributes={"n": 9007199254740993},
    )
    assert reply.status_code == 201
    assert reply.json()["assigned_at"] == "2026-03-01T11:00:00.000000Z"
    (payload,) = outbox(user)
    assert (payload["source"], payload["attributes"]) == ("app", '{"n": 9007199254740993}')
    conflict = _assign(client, running, user, variant_key="a")
    assert (conflict.status_code, conflict.json()["code"]) == (409, "assignment_conflict")
    assert conflict.json()["held"]["variant_key"] == "b"
    assert _assign(client, running, user).json()["variant_key"] == "b"


def test_an_assignment_that_does_not_fit_is_refused(client, running, draft, name):
    assert _assign(client, f"{name}-no", "u").json()["code"] == "experiment_not_found"
    assert _assign(client, running, "u", variant_key="z").json()["code"] == "unknown_variant"
    assert _assign(client, running, "u", colour=1).json()["code"] == "invalid_input"
    client.post("/v1/experiments", json={"key": f"{name}-d", "variants": [{"key": "a"}]})
    assert _assign(client, f"{name}-d", "u").json()["code"] == "experiment_not_running"
    assert _assign(client, f"{name}-d", "u", variant_key="a").json()["code"] == "experiment_not_running"


def test_a_batch_records_the_good_and_lists_the_bad(client, running, name, outbox):
    user = f"{name}-b"
    batch = [
        {"experiment": running, "user_id": user, "variant_key": "a"},
        {"experiment": running, "user_id": user, "variant_key": "a"},
        {"experiment": running, "user_id": user, "variant_key": "b"},
        {"experiment": f"{name}-no", "user_id": user, "variant_key": "a"},
        {"experiment": running, "user_id": user, "variant_key": "z"},
        {"experiment": running, "user_id": user},
        {"experiment": running, "user_id": f"{user}2", "variant_key": "b", "assigned_at": "yesterday"},
        {"experiment": running, "user_id": f"{user}3", "variant_key": "b"},
    ]
    reply = client.post("/v1/assignments/batch", json={"assignments": batch})
    body = reply.json()
    assert (reply.status_code, body["accepted"], body["duplicates"]) == (200, 2, 1)
    assert [(item["index"], item["code"]) for item in body["rejected"]] == [
        (2, "assignment_conflict"),
        (3, "unknown_experiment"),
        (4, "unknown_variant"),
        (5, "invalid_input"),
        (6, "invalid_input"),
    ]
    assert len(outbox(user)) == 1


def test_a_user_outside_the_coverage_is_told_so_and_not_stored(client, name):
    client.post("/v1/experiments", json={"key": name, "coverage": 0.01, "variants": [{"key": "a"}, {"key": "b"}]})
    client.post(f"/v1/experiments/{name}/start")
    replies = [_assign(client, name, f"{name}-{n}") for n in range(30)]
    outside = [reply for reply in replies if reply.json()["outcome"] == "not_covered"]
    assert outside
    assert all(reply.status_code == 200 and reply.json()["variant_key"] is None for reply in outside)
    stored = client.get(f"/v1/experiments/{name}/assignments").json()["items"]
    assert len(stored) == len(replies) - len(outside)


def test_reweighting_in_a_new_phase_keeps_users_where_they_are(client, running):
    users = [f"{running}-{n}" for n in range(40)]
    before = {user: _assign(client, running, user).json()["variant_key"] for user in users}
    assert set(before.values()) == {"a", "b"}
    phases = f"/v1/experiments/{running}/phases"
    assert client.post(phases, json={"weights": {"a": 0.5, "b": 0.6}, "reason": "r"}).json()["code"] == "weights_sum"
    assert client.post(phases, json={"weights": {"a": 1}, "reason": "r"}).json()["code"] == "unknown_variant"
    reply = client.post(phases, json={"weights": {"a": 0, "b": 1}, "reason": "b is better"})
    assert (reply.status_code, reply.json()["phase"]) == (201, 2)
    assert {user: _assign(client, running, user).json()["variant_key"] for user in users} == before
    assert {_assign(client, running, f"{running}-new-{n}").json()["variant_key"] for n in range(20)} == {"b"}
    first, second = client.get(phases).json()
    assert (first["weights"], first["ended_at"]) == ({"a": 0.5, "b": 0.5}, second["began_at"])
    assert second["ended_at"] is None


def test_assignments_are_listed_by_user_and_page_by_page(client, running):
    for number in range(5):
        _assign(client, running, f"u{number}", variant_key="ab"[number % 2])
    listing = f"/v1/experiments/{running}/assignments"
    first = client.get(listing, params={"limit": 3}).json()
    rest = client.get(listing, params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [item["user_id"] for item in first["items"] + rest["items"]] == [f"u{n}" for n in range(5)]
    assert rest["next_cursor"] is None
    assert [i["user_id"] for i in client.get(listing, params={"variant_key": "b"}).json()["items"]] == ["u1", "u3"]
    assert len(client.get(listing, params={"user_id": "u4"}).json()["items"]) == 1


def test_an_assignment_is_deleted_unless_events_name_it(client, running, name, outbox):
    listing = f"/v1/experiments/{running}/assignments"
    used, unused = f"{name}-used", f"{name}-unused"
    for user in (used, unused):
        _assign(client, running, user)
    client.post("/v1/events", json={"user_id": used, "event_type": "x", "experiment": running})
    reply = client.delete(listing, params={"user_id": used})
    assert (reply.status_code, reply.json()["code"]) == (409, "assignment_in_use")
    assert client.delete(listing, params={"user_id": unused}).status_code == 204
    assert client.delete(listing, params={"user_id": unused}).json()["code"] == "assignment_not_found"
    assert [payload["deleted"] for payload in outbox(unused)] == [False, True]
    assert client.delete(listing).status_code == 422


@pytest.mark.parametrize("user", ["ü/✓ 👩‍🚀", "a b?c#d&e=f", "..", "quote\"'\\"])
def test_any_user_id_can_be_assigned_listed_and_deleted(client, running, user):
    assert _assign(client, running, user).status_code == 201
    listing = f"/v1/experiments/{running}/assignments"
    assert client.get(listing, params={"user_id": user}).json()["items"][0]["user_id"] == user
    assert client.delete(listing, params={"user_id": user}).status_code == 204


def test_who_chooses_by_an_old_definition_does_not_answer_for_who_names_the_variant(
    client, running, postgres_url, storage_stack
):
    """Two requests for one user that go to PostgreSQL in one call; the definition changed since the first was read."""
    assert client.patch(f"/v1/experiments/{running}", json={"name": "at another revision"}).status_code == 200
    settings = Settings(postgres_url=postgres_url, clickhouse_url=storage_stack.clickhouse_url, api_token=TOKEN)
    before = Definition("running", running, 1.0, ["a", "b"], [0.5, 0.5], 1, "", 0.0)
    chosen = "ab"[choose_variant(seed=running, user_id="u", weights=[0.5, 0.5], coverage=1)]

    async def at_once():
        database, known = Database(settings), Known(settings, None)
        known.learned(running, before, time.monotonic())
        assigning = Assigning(database, known, settings, pseudonyms(settings))
        asked = [AssignmentRow(running, "u", key, None, "api", Raw(b"{}"), None) for key in (None, chosen)]
        try:
            return await asyncio.gather(*map(assigning.one, asked))
        finally:
            await database.close()

    assert [made.variant_key for made in asyncio.run(at_once())] == [chosen] * 2
