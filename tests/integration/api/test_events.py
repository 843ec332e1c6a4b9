import gzip
import json
from uuid import uuid4

import psycopg
import pytest
import zstandard


def test_an_event_is_stored_with_its_outbox_row_before_the_reply(client, outbox, name):
    event = {"id": str(uuid4()), "user_id": name, "event_type": "click", "properties": {"page": "/"}}
    reply = client.post("/v1/events", json=event, headers={"X-Request-ID": "r-1"})
    assert (reply.status_code, reply.json()) == (202, {"id": event["id"], "outcome": "accepted"})
    assert reply.headers["X-Request-ID"] == "r-1"
    (payload,) = outbox(name)
    assert payload["id"] == event["id"]
    assert json.loads(payload["properties"]) == {"page": "/"}
    assert payload["request_id"] == "r-1"
    assert payload["experiment_id"] is None


def test_an_event_sent_twice_is_stored_once_and_told_as_a_duplicate(client, outbox, name):
    event = {"id": str(uuid4()), "user_id": name, "event_type": "click"}
    outcomes = [client.post("/v1/events", json=event).json()["outcome"] for _ in range(2)]
    assert outcomes == ["accepted", "duplicate"]
    assert len(outbox(name)) == 1


def test_another_event_under_the_same_id_is_a_conflict(client, outbox, name):
    event = {"id": str(uuid4()), "user_id": name, "event_type": "click"}
    client.post("/v1/events", json=event)
    reply = client.post("/v1/events", json=event | {"event_type": "conversion"})
    assert (reply.status_code, reply.json()["code"]) == (409, "event_conflict")
    assert [payload["event_type"] for payload in outbox(name)] == ["click"]


def test_the_same_instant_in_another_zone_is_the_same_event(client, outbox, name):
    event = {"id": str(uuid4()), "user_id": name, "event_type": "click"}
    client.post("/v1/events", json=event | {"timestamp": "2026-06-01T12:00:00.123456+02:00"})
    reply = client.post("/v1/events", json=event | {"timestamp": "2026-06-01T10:00:00.123456Z"})
    assert reply.json()["outcome"] == "duplicate"
    assert outbox(name)[0]["timestamp"] == "2026-06-01T10:00:00.123456Z"


def test_a_batch_stores_the_good_events_and_lists_the_bad_ones(client, outbox, name, running):
    client.post(f"/v1/experiments/{running}/assignments", json={"user_id": name})
    twice = str(uuid4())
    batch = [
        {"id": twice, "user_id": name, "event_type": "click", "experiment": running},
        {"user_id": 5, "event_type": "click"},
        {"user_id": f"{name}-2", "event_type": "click", "experiment": running},
        {"user_id": name, "event_type": "click", "experiment": f"{name}-no"},
        {"id": twice, "user_id": name, "event_type": "click", "experiment": running},
        {"id": twice, "user_id": name, "event_type": "other", "experiment": running},
        {"user_id": name, "event_type": "click", "colour": "red"},
        {"id": "no-uuid", "user_id": name, "event_type": "click"},
        {"user_id": name, "event_type": "last"},
    ]
    reply = client.post("/v1/events/batch", json={"events": batch})
    assert reply.status_code == 202
    body = reply.json()
    assert (body["accepted"], body["duplicates"]) == (2, 1)
    assert [(item["index"], item["code"]) for item in body["rejected"]] == [
        (1, "invalid_input"),
        (2, "not_assigned"),
        (3, "unknown_experiment"),
        (5, "event_conflict"),
        (6, "invalid_input"),
        (7, "invalid_input"),
    ]
    assert [p["event_type"] for p in outbox(name) if "event_type" in p] == ["click", "last"]


def test_an_atomic_batch_with_a_bad_event_stores_nothing(client, outbox, name):
    good = {"user_id": name, "event_type": "click"}
    for bad in ({"user_id": name}, good | {"experiment": f"{name}-no"}):
        reply = client.post("/v1/events/batch", params={"atomic": "true"}, json={"events": [good, bad]})
        assert (reply.status_code, reply.json()["code"]) == (422, "batch_refused")
        assert reply.json()["rejected"][0]["index"] == 1
    assert outbox(name) == []
    assert client.post("/v1/events/batch?atomic=true", json={"events": [good]}).json()["accepted"] == 1


def test_a_batch_sent_again_is_told_as_duplicates(client, name, outbox):
    batch = {"events": [{"id": str(uuid4()), "user_id": name, "event_type": "x"} for _ in range(2500)]}
    first, again = (client.post("/v1/events/batch", json=batch).json() for _ in range(2))
    assert first == {"accepted": 2500, "duplicates": 0, "rejected": []}
    assert again == {"accepted": 0, "duplicates": 2500, "rejected": []}
    assert len(outbox(name)) == 2500


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
def test_ndjson_is_read_line_by_line_in_each_coding(client, name, outbox, coding):
    lines = [json.dumps({"user_id": name, "event_type": f"e{n}"}) for n in range(3)]
    body = ("\n".join([lines[0], "", "{broken", lines[1]]) + "\r\n" + lines[2] + "\n").encode()
    packed = {"identity": bytes, "gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}[coding](body)
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": coding}
    reply = client.post("/v1/events/batch", content=packed, headers=headers).json()
    assert reply["accepted"] == 3
    assert [(item["index"], item["code"]) for item in reply["rejected"]] == [(1, "malformed_json")]
    assert [payload["event_type"] for payload in outbox(name)] == ["e0", "e1", "e2"]


def test_an_event_of_an_experiment_carries_variant_and_time_of_its_assignment(client, name, running, outbox):
    assigned = client.post(f"/v1/experiments/{running}/assignments", json={"user_id": name}).json()
    client.post("/v1/events", json={"user_id": name, "event_type": "click", "experiment": running})
    event = outbox(name)[-1]
    assert event["variant_key"] == assigned["variant_key"]
    assert event["assignment_at"] == assigned["assigned_at"]


UNUSUAL = {
    "astral": "👩‍🚀 😀",
    "right to left": "שלום مرحبا",
    "combining": "e\u0301 \u1100\u1161",
    "quotes": "\"'`\\ \n\r\t\b\f/ \u2028",
    "": "empty key",
    "a.b": {"c.d": []},
    "nested": {"deep": [{}, [[]], None, True, False]},
    "colon: in a key": "https://example.org:8080/a?b=c",
    "nul-like": "\\u0000",
}


def test_text_arrives_to_the_code_point(client, name, outbox):
    user = f'{name} 👩‍🚀 שלום "quoted" \\ e\u0301\n'
    for ascii_only in (True, False):
        event = {"user_id": user, "event_type": "x", "session_id": "s:ü", "properties": UNUSUAL}
        body = json.dumps(event, ensure_ascii=ascii_only).encode()
        assert client.post("/v1/events", content=body, headers={"Content-Type": "application/json"}).status_code == 202
    for payload in outbox(user):
        assert payload["user_id"] == user
        assert payload["session_id"] == "s:ü"
        assert json.loads(payload["properties"]) == UNUSUAL
    assert len(outbox(user)) == 2


def test_numbers_arrive_equal_in_value(client, name, outbox):
    from decimal import Decimal

    literals = ["9007199254740993", "1e308", "-1E+2", "0.1000000000000000055511151231257827", "5e-324", "-0", "1.50"]
    literals.append("123456789012345678901234567890")
    body = f'{{"user_id": "{name}", "event_type": "x", "properties": {{"n": [{", ".join(literals)}]}}}}'
    reply = client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == 202, reply.text
    found = json.loads(outbox(name)[0]["properties"], parse_float=Decimal, parse_int=Decimal)
    assert found["n"] == [Decimal(literal) for literal in literals]


def test_a_batch_of_repeats_is_answered_in_few_round_trips(client, name, running, outbox):
    sender = f"{name}-e"
    same = {"id": str(uuid4()), "user_id": sender, "event_type": "x"}
    body = client.post("/v1/events/batch", json={"events": [same] * 9_000}).json()
    assert body == {"accepted": 1, "duplicates": 8_999, "rejected": []}
    event_id = str(uuid4())
    different = [{"id": event_id, "user_id": sender, "event_type": f"x{n}"} for n in range(5_000)]
    body = client.post("/v1/events/batch", json={"events": [*different, different[0], different[-1]]}).json()
    assert (body["accepted"], body["duplicates"], len(body["rejected"])) == (1, 1, 5_000)
    assert {item["code"] for item in body["rejected"]} == {"event_conflict"}
    assert len(outbox(sender)) == 2
    user = f"{name}-u"
    assignment = {"experiment": running, "user_id": user, "variant_key": "a"}
    odd = [assignment | {"variant_key": f"v{n}"} for n in range(4_000)]
    body = client.post("/v1/assignments/batch", json={"assignments": [assignment] * 5_000 + odd}).json()
    assert (body["accepted"], body["duplicates"], len(body["rejected"])) == (1, 4_999, 4_000)
    assert len(outbox(user)) == 1


def test_a_call_that_names_an_id_twice_ends_with_an_error(database, name):
    twice = [{"id": str(uuid4()), "user_id": name, "event_type": "x", "properties": {"n": 0}}] * 2
    database.execute("set statement_timeout = '20s'")
    with pytest.raises(psycopg.errors.UniqueViolation):
        database.execute("select * from accept_events(%s)", (json.dumps(twice),))
