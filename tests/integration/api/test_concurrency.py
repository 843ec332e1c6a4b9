"""Many clients at once over real connections: one wins, the others are told, nobody is answered with an error."""

import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

from tenacity import retry, retry_if_result, stop_after_delay, wait_random

WRITERS = 50


def _at_once(function, arguments):
    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(function, arguments))


@retry(retry=retry_if_result(lambda status: status == 503), stop=stop_after_delay(60), wait=wait_random(0.1, 1))
def _patched(client, path, body):
    """Sent again, as a 503 asks for: on a busy machine forty who wait for one row may wait too long."""
    return client.patch(path, json=body).status_code


def test_of_many_senders_of_one_event_exactly_one_is_told_it_is_new(client, name, outbox):
    event = {"id": str(uuid4()), "user_id": name, "event_type": "x"}
    replies = _at_once(lambda _: client.post("/v1/events", json=event).json()["outcome"], range(WRITERS))
    assert Counter(replies) == {"accepted": 1, "duplicate": WRITERS - 1}
    assert len(outbox(name)) == 1


def test_of_two_events_under_one_id_one_is_stored_and_the_other_told(client, name, outbox):
    event_id = str(uuid4())

    def send(number: int) -> int:
        event = {"id": event_id, "user_id": name, "event_type": f"x{number % 2}"}
        return client.post("/v1/events", json=event).status_code

    assert Counter(_at_once(send, range(WRITERS))) == {202: WRITERS // 2, 409: WRITERS // 2}
    assert len(outbox(name)) == 1


def test_fifty_writers_of_overlapping_batches_store_each_event_once(client, name, outbox):
    events = [{"id": str(uuid4()), "user_id": name, "event_type": "x"} for _ in range(400)]
    shuffles = [random.Random(seed).sample(events, 200) for seed in range(WRITERS)]
    replies = _at_once(lambda batch: client.post("/v1/events/batch", json={"events": batch}), shuffles)
    assert {reply.status_code for reply in replies} == {202}
    told = [reply.json() for reply in replies]
    sent = {event["id"] for batch in shuffles for event in batch}
    assert sum(body["accepted"] for body in told) == len(sent)
    assert all(body["accepted"] + body["duplicates"] == 200 and not body["rejected"] for body in told)
    assert len(outbox(name)) == len(sent)


def test_many_assigners_of_one_user_get_one_variant(client, running, outbox):
    user = f"{running}-u"
    path = f"/v1/experiments/{running}/assignments"
    replies = _at_once(lambda _: client.post(path, json={"user_id": user}), range(WRITERS))
    assert Counter(reply.status_code for reply in replies) == {201: 1, 200: WRITERS - 1}
    assert len({reply.json()["variant_key"] for reply in replies}) == 1
    assert len({reply.json()["assigned_at"] for reply in replies}) == 1
    assert len(outbox(user)) == 1


def test_of_recorders_that_disagree_the_first_wins_and_the_others_are_told(client, running, outbox):
    user = f"{running}-u"
    path = f"/v1/experiments/{running}/assignments"

    def record(number: int):
        return client.post(path, json={"user_id": user, "variant_key": "ab"[number % 2]})

    replies = _at_once(record, range(WRITERS))
    assert Counter(reply.status_code for reply in replies) == {201: 1, 200: WRITERS // 2 - 1, 409: WRITERS // 2}
    (payload,) = outbox(user)
    assert {reply.json()["variant_key"] for reply in replies if reply.status_code < 300} == {payload["variant_key"]}


def test_recorders_of_a_dozen_variants_and_askers_at_once_are_each_told_what_holds(client, name, outbox):
    keys = [f"v{number}" for number in range(12)]
    variants = [{"key": key, "weight": 1 / 12, "is_control": key == "v0"} for key in keys]
    assert client.post("/v1/experiments", json={"key": name, "variants": variants}).status_code == 201
    assert client.post(f"/v1/experiments/{name}/start").status_code == 200
    told = [{"user_id": f"{name}-u", "variant_key": key} for key in keys]
    bodies = [*told, {"user_id": f"{name}-u"}] * 4 + [{"user_id": f"{name}-u", "variant_key": "none"}]
    bodies += [{"user_id": f"{name}-{number}"} for number in range(20)]
    random.Random(5).shuffle(bodies)

    def send(body):
        return body, client.post(f"/v1/experiments/{name}/assignments", json=body)

    replies = _at_once(send, bodies)
    (payload,) = outbox(f"{name}-u")
    held = payload["variant_key"]
    of_one = [(body.get("variant_key", held), reply) for body, reply in replies if body["user_id"] == f"{name}-u"]
    assert sum(reply.status_code == 201 for _, reply in of_one) == 1
    for asked, reply in of_one:
        if asked == held:
            assert reply.json()["variant_key"] == held
        else:
            assert (asked, reply.status_code) == (asked, 422 if asked == "none" else 409)
            assert asked == "none" or reply.json()["held"]["variant_key"] == held
    others = [reply.status_code for body, reply in replies if body["user_id"] != f"{name}-u"]
    assert others == [201] * 20


def test_of_editors_with_one_version_exactly_one_wins(client, draft):
    etag = client.get(f"/v1/experiments/{draft}").headers["ETag"]

    def edit(number: int) -> int:
        body = {"description": f"by {number}"}
        return client.patch(f"/v1/experiments/{draft}", json=body, headers={"If-Match": etag}).status_code

    assert Counter(_at_once(edit, range(WRITERS))) == {200: 1, 412: WRITERS - 1}


def test_of_creators_and_starters_of_one_experiment_one_wins(client, name):
    body = {"key": name, "variants": [{"key": "a"}, {"key": "b"}]}
    created = Counter(_at_once(lambda _: client.post("/v1/experiments", json=body).status_code, range(20)))
    assert created == {201: 1, 409: 19}
    started = _at_once(lambda _: client.post(f"/v1/experiments/{name}/start").status_code, range(20))
    assert Counter(started) == {200: 1, 409: 19}
    assert len(client.get(f"/v1/experiments/{name}/phases").json()) == 1


def test_metrics_and_experiments_that_use_them_are_edited_at_once_without_deadlock(client, name):
    client.post("/v1/metrics", json={"key": name, "kind": "proportion", "event_type": "x"})
    keys = [f"{name}-{n}" for n in range(3)]
    for key in keys:
        client.post("/v1/experiments", json={"key": key, "variants": [{"key": "a"}], "metrics": [name]})

    def edit(number: int) -> int:
        body = {"name": f"n{number}"}
        if number % 2:
            return _patched(client, f"/v1/metrics/{name}", body)
        return _patched(client, f"/v1/experiments/{keys[number % 3]}", body | {"metrics": [name]})

    assert Counter(_at_once(edit, range(40))) == {200: 40}


def test_an_assignment_is_not_taken_back_under_an_event_that_is_being_accepted(client, running, database):
    user = f"{running}-u"
    path = f"/v1/experiments/{running}/assignments"
    client.post(path, json={"user_id": user}).raise_for_status()
    event = {"id": str(uuid4()), "user_id": user, "event_type": "x", "experiment": running, "properties": {},
             "timestamp": datetime.now(UTC).isoformat()}  # fmt: skip
    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            assert database.execute("select * from accept_events(%s)", (json.dumps([event]),)).fetchall() == []
            deletion = pool.submit(client.delete, path, params={"user_id": user})
            _await_a_waiting_delete(database)
        assert deletion.result().status_code == 409


@retry(retry=retry_if_result(lambda waiting: not waiting), stop=stop_after_delay(10), wait=wait_random(0.01, 0.05))
def _await_a_waiting_delete(database) -> bool:
    waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted and mode = 'ExclusiveLock'"
    return database.execute(waiting).fetchone()[0] > 0
