"""Export, erasure and pseudonyms by the API; the pipeline's part is in tests/integration/pipeline/test_erasing.py."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from neonblue_api.bucketing import choose_variant
from tests.fix_client import ComesBack
from tests.integration.api.fix_api import NOBODY, TOKEN, served_api

KEY = "NEONBLUE_PRIVACY_KEY"


@pytest.fixture(scope="module")
def privacy_key(storage_stack) -> str:
    return storage_stack.settings[KEY]


@contextmanager
def client_of_an_api(postgres_url: str, **settings: Any) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with (
        served_api(postgres_url, NOBODY, **settings) as (url, _),
        httpx.Client(base_url=url, headers=headers, timeout=30, transport=ComesBack()) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def anonymous(postgres_url: str, privacy_key: str) -> Iterator[httpx.Client]:
    """An API that keeps events of erased people as nobody's."""
    with client_of_an_api(postgres_url, NEONBLUE_PRIVACY_KEY=privacy_key, NEONBLUE_ERASED_USERS="anonymous") as client:
        yield client


@pytest.fixture(scope="module")
def pseudonymous(postgres_url: str, privacy_key: str) -> Iterator[httpx.Client]:
    """An API that names nobody."""
    with client_of_an_api(postgres_url, NEONBLUE_PRIVACY_KEY=privacy_key, NEONBLUE_PSEUDONYMOUS_USERS="true") as client:
        yield client


def click(user: str, **more: object) -> dict[str, object]:
    return {"id": str(uuid4()), "user_id": user, "event_type": "click", **more}


def erase(client: httpx.Client, user: str) -> dict:
    reply = client.post("/v1/privacy/erasures", json={"user_id": user})
    assert reply.status_code == 202, reply.text
    return reply.json()


def test_an_erasure_asked_for_twice_is_one_and_names_nobody(client: httpx.Client, name: str) -> None:
    first, second = erase(client, name), erase(client, name)
    assert first == second == client.get(f"/v1/privacy/erasures/{first['erasure_id']}").json()
    assert (first["finished_at"], first["steps"]) == (None, [])
    listed = client.get("/v1/privacy/erasures")
    assert first in listed.json()["items"]
    assert name not in listed.text
    assert name not in client.get("/v1/changes?object_type=privacy").text
    assert client.get("/v1/privacy/erasures/999999999").json()["code"] == "erasure_not_found"


def test_nothing_is_stored_of_an_erased_person_and_the_rest_of_a_batch_is(
    client: httpx.Client, running: str, name: str, database: psycopg.Connection
) -> None:
    erase(client, name)
    single = client.post("/v1/events", json=click(name))
    assert (single.status_code, single.json()["code"]) == (422, "user_erased")
    batch = client.post("/v1/events/batch", json={"events": [click(name), click(f"{name}-2")]}).json()
    assert batch["accepted"] == 1
    assert [(one["index"], one["code"]) for one in batch["rejected"]] == [(0, "user_erased")]
    assigned = client.post(f"/v1/experiments/{running}/assignments", json={"user_id": name})
    assert (assigned.status_code, assigned.json()["code"]) == (422, "user_erased")
    recorded = client.post(
        "/v1/assignments/batch", json={"assignments": [{"experiment": running, "user_id": name, "variant_key": "a"}]}
    )
    assert [one["code"] for one in recorded.json()["rejected"]] == ["user_erased"]
    assert client.post("/v1/users", json={"user_id": name}).json()["code"] == "user_erased"
    for table in ("users", "assignments", "events"):
        found = database.execute(f"select count(*) from {table} where user_id = %s", (name,)).fetchone()
        assert found == (0,), table


def test_an_event_of_an_erased_person_can_be_kept_as_nobodys_and_is_stored_once(
    client: httpx.Client, anonymous: httpx.Client, running: str, name: str, database: psycopg.Connection
) -> None:
    erase(client, name)
    event = click(name, experiment=running, session_id="s", properties={"note": name}, timestamp="2026-01-02T10:00:00Z")
    assert [anonymous.post("/v1/events", json=event).json()["outcome"] for _ in range(2)] == ["accepted", "duplicate"]
    row = database.execute(
        """select user_id, event_type, utc_text(timestamp), experiment_id, session_id, properties
           from events where event_id = %s""",
        (event["id"],),
    ).fetchone()
    assert row == (f"anonymous-{event['id']}", "click", "2026-01-02T10:00:00.000000Z", None, None, {})
    answered = anonymous.post(f"/v1/experiments/{running}/assignments", json={"user_id": name}).json()
    chosen = choose_variant(seed=running, user_id=name, weights=[0.5, 0.5], coverage=1)
    assert (answered["outcome"], answered["variant_key"]) == ("anonymous", "ab"[chosen])
    assert database.execute("select count(*) from assignments where user_id = %s", (name,)).fetchone() == (0,)


def test_of_several_events_of_erased_people_under_one_id_one_is_kept_as_nobodys_and_the_others_are_told(
    client: httpx.Client, anonymous: httpx.Client, name: str, database: psycopg.Connection
) -> None:
    erase(client, name)
    erase(client, f"{name}-2")
    event = click(name, timestamp="2026-01-02T10:00:00Z")
    # As nobody's the second says the same as the first; the third does not.
    events = [event, event | {"user_id": f"{name}-2", "session_id": "s"}, event | {"event_type": "look"}, click(name)]
    told = [anonymous.post("/v1/events/batch", json={"events": events}).json() for _ in range(2)]
    assert [(one["accepted"], one["duplicates"]) for one in told] == [(2, 1), (0, 3)]
    for one in told:
        assert [(refused["index"], refused["code"]) for refused in one["rejected"]] == [(2, "event_conflict")]
    rows = database.execute("select user_id, event_type from events where event_id = %s", (event["id"],)).fetchall()
    assert rows == [(f"anonymous-{event['id']}", "click")]


def test_with_pseudonyms_no_id_is_stored_what_belongs_together_is_found_and_variants_are_those_of_the_id(
    pseudonymous: httpx.Client, running: str, database: psycopg.Connection
) -> None:
    user = f"u-{uuid4()}"
    assigned = pseudonymous.post(f"/v1/experiments/{running}/assignments", json={"user_id": user}).json()
    chosen = choose_variant(seed=running, user_id=user, weights=[0.5, 0.5], coverage=1)
    assert assigned["variant_key"] == "ab"[chosen]
    assert pseudonymous.post("/v1/events", json=click(user, experiment=running)).status_code == 202
    assert pseudonymous.post("/v1/users", json={"user_id": user}).status_code == 201
    assert len(pseudonymous.get("/v1/events", params={"user_id": user}).json()["items"]) == 1
    assert pseudonymous.get(f"/v1/users/{user}").status_code == 200
    listed = pseudonymous.get(f"/v1/experiments/{running}/assignments", params={"user_id": user}).json()["items"]
    assert len(listed) == 1
    stored = listed[0]["user_id"]
    for table in ("users", "assignments", "events"):
        named = database.execute(
            f"select count(*) filter (where user_id = %s), count(*) from {table} where user_id = any(%s)",
            (stored, [stored, user]),
        ).fetchone()
        assert named == (1, 1), table
    told = database.execute("select count(*) from outbox_log where payload::text like %s", (f"%{user}%",)).fetchone()
    assert told == (0,)
    erase(pseudonymous, user)
    assert pseudonymous.post("/v1/events", json=click(user)).json()["code"] == "user_erased"


def test_without_the_key_or_with_another_erasures_are_refused_and_so_are_facts(
    client: httpx.Client, postgres_url: str, name: str
) -> None:
    erase(client, name)
    for key in ("", "another-key-of-more-than-32-characters"):
        variables = {KEY: key} if key else {}
        with client_of_an_api(postgres_url, **variables, unset=(KEY,)) as api:
            reply = api.post("/v1/privacy/erasures", json={"user_id": name})
            assert (reply.status_code, reply.json()["code"]) == (503, "privacy_key_missing"), variables
            reply = api.post("/v1/events", json=click(f"{name}-2"))
            assert (reply.status_code, reply.json()["code"]) == (503, "privacy_key_missing"), variables


def test_an_export_is_whole_or_refused_and_a_canary_is_no_person(
    client: httpx.Client, anonymous: httpx.Client, running: str, name: str
) -> None:
    client.post("/v1/users", json={"user_id": name})
    client.post(f"/v1/experiments/{running}/assignments", json={"user_id": name})
    client.post("/v1/events", json=click(name, experiment=running, properties={"note": "é\u2028"}))
    missing = anonymous.post("/v1/privacy/exports", json={"user_id": name})
    assert (missing.status_code, missing.json()["code"]) == (503, "analytics_unavailable")
    canary = client.post("/v1/privacy/erasures", json={"user_id": "neonblue-canary"})
    assert canary.json()["code"] == "invalid_input"
