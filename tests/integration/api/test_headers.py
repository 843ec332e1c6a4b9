"""What every reply tells browsers, whatever it is a reply to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from starlette.responses import Response, StreamingResponse

from neonblue_api.main import create_app
from neonblue_api.settings import Settings
from tests.integration.api.fix_api import NOBODY, TOKEN

SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/metrics", 200),
        ("GET", "/v1/metrics?limit=x", 422),
        ("GET", "/v1/metrics/nothing-of-this-name", 404),
        ("POST", "/v1/events", 415),
        ("GET", "/v1/events/x/y", 404),
        ("PUT", "/v1/metrics", 405),
        ("GET", "/v1/metrics?limit=%00", 422),
        ("GET", "/healthz", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/docs", 200),
    ],
)
def test_no_reply_runs_scripts_is_framed_sniffed_or_kept(client, method, path, status):
    reply = client.request(method, path)
    assert reply.status_code == status, reply.text
    assert {name: reply.headers.get(name) for name in SAFE} == SAFE
    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert ("script-src" in policy) == (path == "/docs")
    assert "Access-Control-Allow-Origin" not in reply.headers


def test_a_request_without_a_token_gets_the_same(api_url):
    reply = httpx.get(f"{api_url}/v1/metrics", trust_env=False)
    assert reply.status_code == 401
    assert {name: reply.headers.get(name) for name in SAFE} == SAFE


def _ask(path: str, route: Callable[[], Awaitable[Response]]) -> httpx.Response:
    """The reply of the API with one route more."""
    app = create_app()
    app.state.settings = Settings(postgres_url="postgresql://h/d", clickhouse_url=NOBODY, api_token=TOKEN)  # type: ignore[arg-type]
    app.add_api_route(path, route, response_class=Response)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            return await client.get(path, headers={"X-Request-ID": "mine"})

    return asyncio.run(ask())


def test_a_failure_that_nobody_expected_is_told_with_the_same_and_the_id_of_the_request():
    async def broken() -> Response:
        raise RuntimeError("nobody expected this")

    reply = _ask("/broken", broken)
    assert (reply.status_code, reply.json()["code"], reply.json()["request_id"]) == (500, "internal_error", "mine")
    assert {name: reply.headers.get(name) for name in SAFE} == SAFE
    assert reply.headers["X-Request-ID"] == "mine"


def test_a_reply_that_breaks_off_is_not_ended_as_if_it_were_whole():
    async def pieces() -> AsyncIterator[bytes]:
        yield b"the first"
        raise RuntimeError("nobody expected this")

    async def begun() -> Response:
        return StreamingResponse(pieces())

    with pytest.raises(RuntimeError):
        _ask("/begun", begun)
