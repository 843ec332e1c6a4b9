"""What breaks a rule is refused with the reason, and nothing of it is stored."""

import base64
import gzip
import json
import socket
import zlib
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import httpx
import pytest
import zstandard

JSON = {"Content-Type": "application/json"}


def _post(client, body: bytes, **headers: str):
    return client.post("/v1/events", content=body, headers=JSON | headers)


@pytest.mark.parametrize(
    ("fields", "status", "code", "said"),
    [
        ('"event_type": "x"', 422, "invalid_input", "user_id"),
        ('"user_id": 5, "event_type": "x"', 422, "invalid_input", "user_id"),
        ('"user_id": "", "event_type": "x"', 422, "invalid_input", "user_id"),
        (f'"user_id": "{"u" * 257}", "event_type": "x"', 422, "invalid_input", "256"),
        ('"user_id": "USER", "event_type": null', 422, "invalid_input", "event_type"),
        ('"user_id": "USER", "event_type": "x", "colour": 1', 422, "invalid_input", "colour"),
        ('"user_id": "USER", "event_type": "x", "id": "1"', 422, "invalid_input", "id"),
        ('"user_id": "USER", "event_type": "x", "experiment": "no/key"', 422, "invalid_input", "experiment"),
        ('"user_id": "USER", "event_type": "x", "properties": [1]', 422, "invalid_input", "properties"),
        ('"user_id": "USER", "event_type": "x", "properties": null', 422, "invalid_input", "properties"),
        ('"user_id": "USER", "event_type": "x", "properties": {"a": NaN}', 400, "malformed_json", ""),
        ('"user_id": "USER", "event_type": "x", "properties": {"a": -Infinity}', 400, "malformed_json", ""),
        ('"user_id": "USER", "event_type": "x", "properties": {"a": 1e400}', 422, "invalid_input", "1e400"),
        ('"user_id": "USER", "event_type": "x", "properties": {"a": 1e-400}', 422, "invalid_input", "1e-400"),
        ('"user_id": "USER", "event_type": "x", "properties": {"a": 0e-99999}', 422, "invalid_input", "digits"),
        ('"user_id": "USER", "event_type": "x", "properties": {"a": "\\u0000"}', 422, "invalid_input", "u0000"),
        ('"user_id": "USER", "event_type": "x", "properties": {"a\\u0000": 1}', 422, "invalid_input", "u0000"),
        ('"user_id": "USER\\u0000", "event_type": "x"', 400, "malformed_json", "u0000"),
        ('"user_id": "USER", "event_type": "x", "properties": {"a": "\\ud800"}', 400, "malformed_json", "surrogate"),
        ('"user_id": "USER", "event_type": "x", "properties": {"a": 1, "a": 2}', 422, "invalid_input", "twice"),
        (
            '"user_id": "USER", "event_type": "x", "properties": {"a": [{"b:": 1, "b\\u003a": 2}]}',
            422,
            "invalid_input",
            "",
        ),
        ('"user_id": "USER", "event_type": "x", "user_id": "USER"', 400, "malformed_json", "twice"),
        ('"user_id": "USER", "event_type": "x", "event\\u005ftype": "x"', 400, "malformed_json", "twice"),
        ('"user_id": "USER", "event_type": "x", "timestamp": "2026-01-01T00:00:00"', 422, "invalid_input", "timestamp"),
        (
            '"user_id": "USER", "event_type": "x", "timestamp": "2026-02-30T00:00:00Z"',
            422,
            "invalid_input",
            "timestamp",
        ),
        (
            '"user_id": "USER", "event_type": "x", "timestamp": "2026-02-03T00:00:00.1234567Z"',
            422,
            "invalid_input",
            "micro",
        ),
        ('"user_id": "USER", "event_type": "x", "timestamp": 1700000000', 422, "invalid_input", "timestamp"),
        ('"user_id": "USER", "event_type": "x",', 400, "malformed_json", ""),
        ('"user_id": "USER", "event_type": "x", "properties": {"a": 01}', 400, "malformed_json", ""),
    ],
)
def test_an_event_that_breaks_a_rule_is_refused_with_the_reason(client, name, outbox, fields, status, code, said):
    reply = _post(client, ("{" + fields.replace("USER", name) + "}").encode())
    problem = reply.json()
    assert (reply.status_code, problem["code"]) == (status, code), problem
    assert said in problem["detail"]
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert {"rule", "way_out", "request_id"} <= problem.keys()
    assert outbox(name) == []


@pytest.mark.parametrize("away", [timedelta(minutes=20), -timedelta(days=4 * 366)])
def test_a_time_beyond_the_allowed_skew_is_refused(client, name, away):
    event = {"user_id": name, "event_type": "x", "timestamp": (datetime.now(UTC) + away).isoformat()}
    assert client.post("/v1/events", json=event).status_code == 422


def test_invalid_utf8_is_refused(client, name):
    assert _post(client, b'{"user_id": "\xff", "event_type": "x"}').status_code == 400
    assert _post(client, b'{"user_id": "u", "event_type": "x", "properties": {"a": "\xed\xa0\x80"}}').status_code in (
        400,
        422,
    )


@pytest.mark.parametrize("depth", [33, 5_000, 200_000])
def test_deep_nesting_is_refused(client, name, depth):
    deep = "[" * depth + "]" * depth
    reply = _post(client, f'{{"user_id": "{name}", "event_type": "x", "properties": {{"a": {deep}}}}}'.encode())
    assert reply.status_code in (400, 413, 422)
    assert reply.json()["code"] in ("malformed_json", "invalid_input")


def test_properties_over_their_size_are_refused_also_when_numbers_grow(client, name):
    for properties in ({"a": "x" * 70_000}, {"a": [1e308] * 300}):
        reply = client.post("/v1/events", json={"user_id": name, "event_type": "x", "properties": properties})
        assert (reply.status_code, reply.json()["code"]) == (422, "invalid_input")


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(api_url):
    address = urlsplit(api_url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(
            b"POST /v1/events/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer test-token-with-every-scope\r\nContent-Length: 4000000000\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_chunked_body_is_refused_at_the_first_byte_too_many(client):
    def chunks():
        for _ in range(3):
            yield b" " * (1 << 19)

    reply = client.post("/v1/events", content=chunks(), headers=JSON)
    assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large")
    assert client.post("/v1/experiments", content=b" " * (1 << 21), headers=JSON).status_code == 413


def test_a_compressed_body_that_becomes_nothing_is_refused_at_the_first_byte_too_many(client):
    whole = gzip.compress(b"")
    empty_block = b"\0\0\0\xff\xff"

    def chunks():
        yield whole[:10]
        for _ in range(3):
            yield empty_block * 100_000
        yield whole[10:]

    reply = client.post("/v1/events", content=chunks(), headers=JSON | {"Content-Encoding": "gzip"})
    assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large")


def test_a_decompression_bomb_is_refused(client):
    zeros = b"0" * (1 << 20)
    packer = zlib.compressobj(wbits=31)
    gzipped = b"".join(packer.compress(zeros) for _ in range(64)) + packer.flush()
    packed = {"gzip": gzipped, "zstd": zstandard.ZstdCompressor().compress(zeros * 64)}
    for coding, body in packed.items():
        assert len(body) < 100_000
        reply = client.post("/v1/events/batch", content=body, headers=JSON | {"Content-Encoding": coding})
        assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large")


def test_broken_compression_is_refused(client):
    good = json.dumps({"events": []}).encode()
    gzipped, zstded = gzip.compress(good), zstandard.ZstdCompressor().compress(good)
    broken = [("gzip", gzipped[:-3]), ("gzip", b"no"), ("gzip", b""), ("gzip", gzipped + b"tail")]
    broken += [("zstd", zstded[:-2]), ("zstd", b"no gzip"), ("zstd", b""), ("zstd", zstded + b"tail")]
    for coding, body in broken:
        reply = client.post("/v1/events/batch", content=body, headers=JSON | {"Content-Encoding": coding})
        assert (reply.status_code, reply.json()["code"]) == (400, "malformed_compression"), (coding, body)


def test_media_types_and_codings_that_are_not_served_are_refused(client):
    for headers in (
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        JSON | {"Content-Encoding": "br"},
        {},
    ):
        reply = client.post("/v1/events/batch", content=b'{"events": []}', headers=headers)
        assert (reply.status_code, reply.json()["code"]) == (415, "unsupported_media_type")
    assert client.post("/v1/metrics", content=b"{}", headers={"Content-Type": "text/xml"}).status_code == 415


def test_methods_and_paths_that_are_not_served_are_refused_as_problems(client):
    reply = client.put("/v1/events", json={})
    assert (reply.status_code, reply.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in reply.headers["Allow"]
    reply = client.get("/v1/nothing")
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


def test_the_strict_rules_of_json_hold_for_definitions_too(client, name, database):
    for body in (
        f'{{"key": "{name}", "key": "{name}", "variants": []}}',
        f'{{"key": "{name}", "name": "\\u0000"}}',
        f'{{"key": "{name}", "coverage": NaN}}',
        f'{{"key": "{name}", "name": "\\udc00"}}',
        "",
        "[" * 100_000,
    ):
        reply = client.post("/v1/experiments", content=body.encode(), headers=JSON)
        assert reply.status_code in (400, 422), body[:50]
    assert database.execute("select count(*) from experiments where key = %s", (name,)).fetchone() == (0,)


def test_u0000_in_the_address_is_refused(client):
    for path in ("/v1/users/a%00b", "/v1/events?user_id=%00", "/v1/experiments/a%00"):
        assert client.get(path).status_code == 422


def test_an_address_that_is_not_utf8_is_refused_and_not_read_as_another(client):
    assert client.post("/v1/users", json={"user_id": "\ufffd"}).status_code in (200, 201)
    for path in ("/v1/users/%FF", "/v1/users/%ED%A0%80", "/v1/events?user_id=%FF"):
        reply = client.get(path)
        assert (reply.status_code, reply.json()["code"]) == (422, "invalid_input")
    assert client.patch("/v1/users/%FF", json={"attributes": {"a": 1}}).status_code == 422
    assert client.get("/v1/users/%EF%BF%BD").json()["attributes"] == {}


NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("path", "text", "status"),
    [
        pytest.param("/v1/users", "[" * 3000, 400, id="nested"),
        ("/v1/users", '["\\ud800"]', 400),
        ("/v1/users", '["\\u0000"]', 400),
        ("/v1/users", '[["a"]]', 400),
        ("/v1/users", "[1]", 400),
        ("/v1/metrics", f"[{2**63}]", 400),
        ("/v1/events?user_id=u", '["x", "y"]', 400),
        ("/v1/events?user_id=u", f'["0001-01-01T00:00:00+23:59", "{NOBODY}"]', 400),
        ("/v1/events?user_id=u", f'["2026-01-01T00:00:00+23:59", "{NOBODY}"]', 200),
        ("/v1/events?user_id=u", f'["2026-W05-1", "urn:uuid:{NOBODY}"]', 200),
    ],
)
def test_a_cursor_that_no_list_made_is_refused_or_is_a_place(client, path, text, status):
    cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    reply = client.get(httpx.URL(path).copy_merge_params({"cursor": cursor}))
    assert reply.status_code == status
    assert status == 200 or reply.json()["code"] == "invalid_cursor"


@pytest.mark.parametrize("path", ["/v1/experiments", "/v1/metrics", "/v1/users", "/v1/events", "/v1/events/batch"])
@pytest.mark.parametrize("body", [b"{", b" " * (33 << 20)], ids=["broken", "too large"])
def test_without_a_token_nobody_learns_what_is_wrong_with_a_body(client, path, body):
    reply = client.post(path, content=body, headers=JSON | {"Authorization": "Bearer nobody"})
    assert (reply.status_code, reply.json()["code"]) == (401, "unauthorized")


def test_more_events_than_a_batch_may_have_are_refused(client, name, outbox):
    events = [{"user_id": name, "event_type": "x"}] * 10_001
    assert client.post("/v1/events/batch", json={"events": events}).status_code == 422
    lines = "\n".join(json.dumps(event) for event in events)
    reply = client.post("/v1/events/batch", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert reply.status_code == 422
    assert outbox(name) == []


def test_a_batch_of_another_shape_is_refused(client):
    for body in (
        "[]",
        "{}",
        '{"events": {}}',
        '{"events": [], "more": 1}',
        '{"events": [], "events": []}',
        "null",
        '"a"',
    ):
        reply = client.post("/v1/events/batch", content=body, headers=JSON)
        assert reply.status_code in (400, 422), body
    assert client.post("/v1/events/batch", json={"events": []}).json() == {
        "accepted": 0,
        "duplicates": 0,
        "rejected": [],
    }
