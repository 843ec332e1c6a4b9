"""SQL in every parameter and every text of every body of every route: it stays text, in both databases."""

import copy
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import clickhouse_connect
import httpx
import psycopg
import pytest

from tests.end_to_end.journey import Platform

pytestmark = pytest.mark.timeout(600)

# Each would leave a table `injected…` behind in one of the databases, read more than it may, or break the statement.
PAYLOADS = (
    "\\'\"'); create table injected_1 (a int); -- $$ {key:String} %(key)s :key %s $1",
    *(
        pytest.param(text, marks=pytest.mark.nightly)
        for text in (
            "'; create table injected_2 (a int); --",
            '"; create table injected_3 (a int); --',
            "$$; create table injected_4 (a int); --",
            "x'); create table injected_5 (a int); --",
            "' or '1'='1",
            "') union all select name from api_tokens --",
            "x' union all select 1 settings readonly=0; create table injected_6 (a Int8) engine = Memory --",
            "{key:String} %(key)s :key %s $1",
        )
    ),
)


@pytest.fixture(scope="module")
def experiment(platform: Platform) -> str:
    """One with a user and an event, so that what reads too much has something to read."""
    key = f"inject-{uuid4().hex[:12]}"
    platform.create_experiment(key, metrics=[("conversion", "proportion")])
    platform.post(f"/v1/experiments/{key}/assignments", {"user_id": key})
    event = {"id": str(uuid4()), "user_id": key, "event_type": "conversion", "experiment": key}
    platform.post("/v1/events", event)
    return key


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        if path.startswith("/v1/"):
            for method, operation in methods.items():
                # An erasure that is asked for is carried out, and rewrites tables under the tests that follow.
                if (method, path) != ("post", "/v1/privacy/erasures"):
                    yield method.upper(), path, operation


def _path(template: str, experiment: str, replaced: str | None = None, by: str = "") -> str:
    known = {
        "key": experiment,
        "variant_key": "new",
        "user_id": experiment,
        "token_id": "999999999",
        "erasure_id": "999999999",
    }
    for name, value in known.items():
        template = template.replace("{" + name + "}", quote(by if name == replaced else value, safe=""))
    assert "{" not in template, f"{template} has a parameter that this test does not know"
    return template


def _leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all texts."""
    if isinstance(value, str):
        yield place
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, (*place, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _leaves(inner, (*place, number))


def _with(body: Any, place: tuple[Any, ...], text: str) -> Any:
    changed = copy.deepcopy(body)
    inner = changed
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = text
    return changed


def _example(schema: dict[str, Any], document: dict[str, Any]) -> Any:
    """A value of the schema, with a text wherever there may be one."""
    if "$ref" in schema:
        return _example(document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], document)
    if "examples" in schema:
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], document)
    kind = schema.get("type", "string")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        return {name: _example(inner, document) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [_example(schema["items"], document)]
    return {"string": "text", "boolean": True}.get(kind, 1)


def _body(operation: dict[str, Any], document: dict[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return None if content is None else _example(content["schema"], document)


def _requests(document: dict[str, Any], experiment: str, payload: str) -> Iterator[httpx.Request]:
    for method, path, operation in _operations(document):
        example = _body(operation, document)
        body = {} if example is None else {"json": example}
        plain = f"http://a{_path(path, experiment)}"
        asked = {
            p["name"]: experiment for p in operation.get("parameters", []) if p["in"] == "query" and p.get("required")
        }
        for parameter in operation.get("parameters", []):
            name = parameter["name"]
            if parameter["in"] == "path":
                yield httpx.Request(method, f"http://a{_path(path, experiment, name, payload)}", params=asked, **body)
            elif parameter["in"] == "query":
                yield httpx.Request(method, plain, params=asked | {name: payload}, **body)
            elif parameter["in"] == "header":
                headers = {name: payload}
                yield httpx.Request(method, plain, params=asked, headers=headers, **body)
        for place in _leaves(example):
            yield httpx.Request(method, plain, params=asked, json=_with(example, place, payload))
        headers = {"X-Request-ID": payload.replace(" ", "/**/")}
        yield httpx.Request(method, plain, params=asked, headers=headers, **body)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_statement_in_a_request_is_text_to_both_databases(platform: Platform, experiment: str, payload: str) -> None:
    document = platform.api.get("/openapi.json").json()
    sent = 0
    for wanted in _requests(document, experiment, payload):
        headers = {name: value for name, value in wanted.headers.items() if name not in ("host", "content-length")}
        reply = platform.api.request(
            wanted.method, wanted.url.raw_path.decode(), content=wanted.content, headers=headers
        )
        told = f"{wanted.method} {wanted.url} {wanted.content!r}: {reply.status_code} {reply.text[:500]}"
        assert reply.status_code < 500, told
        if wanted.method == "GET" and reply.status_code == 200 and payload in dict(wanted.url.params).values():
            items = reply.json().get("items", [])
            assert all(json.dumps(payload)[1:-1] in json.dumps(item) for item in items), told
        sent += 1
    assert sent > 100
    user = f"{payload} {uuid4()}"
    event = {"id": str(uuid4()), "user_id": user, "event_type": payload, "properties": {payload: payload}}
    platform.post("/v1/events", event)
    (read,) = platform.api.get("/v1/events", params={"user_id": user, "event_type": payload}).json()["items"]
    assert {name: read[name] for name in event} == event


def test_nothing_was_made_in_either_database(platform: Platform) -> None:
    with psycopg.connect(platform.settings["NEONBLUE_POSTGRES_URL"]) as postgres:
        found = postgres.execute("select relname from pg_class where relname like 'injected%'").fetchall()
    clickhouse = clickhouse_connect.get_client(dsn=platform.settings["NEONBLUE_CLICKHOUSE_URL"])
    found += clickhouse.query("select database, name from system.tables where name like 'injected%'").result_rows
    clickhouse.close()
    assert found == []
