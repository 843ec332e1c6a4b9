"""Guessing tokens: an address is locked out, clients that were let in from it stay in."""

from collections.abc import Iterator

import httpx
import pytest

from neonblue_api.lockout import client_address
from tests.integration.api.fix_api import NOBODY, TOKEN, served_api

GUESSES = 5
METRICS_TOKEN = "test-token-for-prometheus"


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    settings = {"NEONBLUE_LOCKOUT_GUESSES": str(GUESSES), "NEONBLUE_LOCKOUT_WINDOW": "3600"}
    settings |= {"NEONBLUE_API_TOKEN_BEFORE": "the-token-before-the-rotation", "NEONBLUE_METRICS_TOKEN": METRICS_TOKEN}
    with served_api(postgres_url, NOBODY, **settings) as (address, _):
        yield address


def _ask(url: str, token: str, address: str, path: str = "/v1/metrics") -> httpx.Response:
    # uvicorn takes the address from a proxy on this machine.
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": address}
    return httpx.get(f"{url}{path}", headers=headers, trust_env=False)


def test_an_address_that_guesses_is_locked_out_even_with_the_right_token_and_no_other_is(url):
    assert [_ask(url, f"nb_{n}", "192.0.2.1").status_code for n in range(GUESSES + 2)] == [401] * GUESSES + [429, 429]
    reply = _ask(url, TOKEN, "192.0.2.1")
    assert (reply.status_code, reply.json()["code"]) == (429, "locked_out")
    assert 0 < int(reply.headers["Retry-After"]) <= 3601
    assert _ask(url, TOKEN, "192.0.2.2").status_code == 200


def test_who_guesses_at_the_figures_for_prometheus_is_locked_out_of_all_and_prometheus_stays_in(url):
    prometheus = {"token": METRICS_TOKEN, "address": "192.0.2.8", "path": "/metrics"}
    assert _ask(url, **prometheus).status_code == 200
    guessed = [_ask(url, f"nb_{n}", "192.0.2.8", path="/metrics").status_code for n in range(GUESSES + 1)]
    assert guessed == [401] * GUESSES + [429]
    assert _ask(url, TOKEN, "192.0.2.8").status_code == 429
    assert _ask(url, **prometheus).status_code == 200


def test_a_client_that_was_let_in_stays_in_when_its_address_is_locked_out(url):
    assert _ask(url, TOKEN, "192.0.2.3").status_code == 200
    assert [_ask(url, f"nb_{n}", "192.0.2.3").status_code for n in range(GUESSES + 1)][-1] == 429
    assert _ask(url, TOKEN, "192.0.2.3").status_code == 200


def test_revoked_and_expired_tokens_and_requests_without_one_are_no_guesses(url, name):
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False) as client:
        made = client.post("/v1/tokens", json={"name": name, "scopes": ["read"]}).json()
        client.delete(f"/v1/tokens/{made['token_id']}")
    for _ in range(2 * GUESSES):
        assert _ask(url, made["token"], "192.0.2.4").status_code == 401
        assert (
            httpx.get(f"{url}/v1/metrics", headers={"X-Forwarded-For": "192.0.2.4"}, trust_env=False).status_code == 401
        )
    assert _ask(url, TOKEN, "192.0.2.4").status_code == 200


def test_during_a_rotation_of_the_settings_both_tokens_work(url):
    assert _ask(url, "the-token-before-the-rotation", "192.0.2.5").status_code == 200
    assert _ask(url, TOKEN, "192.0.2.5").status_code == 200


def test_a_storage_that_does_not_answer_leaves_the_lock_to_the_process(postgres_url):
    settings = {
        "NEONBLUE_LOCKOUT_GUESSES": "1",
        "NEONBLUE_LOCKOUT_WINDOW": "3600",
        "NEONBLUE_LOCKOUT_STORAGE": "async+redis://127.0.0.1:9",
    }
    pytest.importorskip("redis")
    with served_api(postgres_url, NOBODY, **settings) as (url, _):
        assert [_ask(url, f"nb_{n}", "192.0.2.6").status_code for n in range(3)] == [401, 429, 429]
        assert _ask(url, TOKEN, "192.0.2.7").status_code == 200


@pytest.mark.parametrize(
    ("host", "address"),
    [
        (None, "unix"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a:b", "a:b"),
    ],
)
def test_an_ipv6_client_is_known_by_the_network_that_it_may_choose_addresses_from(host, address):
    assert client_address(host) == address


def test_a_client_of_whom_a_proxy_says_no_address_is_answered(url):
    assert _ask(url, TOKEN, "a:b").status_code == 200
