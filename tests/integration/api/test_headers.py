"""What every reply tells browsers, whatever it is a reply to."""

import httpx
import pytest

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
