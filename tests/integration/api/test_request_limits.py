"""What a request may cost before anybody knows whose it is."""

import gzip
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
import zstandard

from neonblue_api.http_protocol import MAX_HEAD
from tests.integration.api.fix_api import NOBODY, TOKEN, served_api

MIB = 1 << 20


@pytest.fixture(scope="module")
def served(postgres_url: str) -> Iterator[tuple[str, psutil.Process]]:
    with served_api(postgres_url, NOBODY) as (url, process):
        yield url, psutil.Process(process.pid)


def _connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=30)


def _send_on(connection: socket.socket, piece: bytes, megabytes: int) -> bytes:
    """Sends until the other side has enough; what it answered."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
    try:
        for _ in range(megabytes * MIB // len(piece)):
            connection.sendall(piece)
    except ConnectionError:
        pass
    else:
        raise AssertionError(f"{megabytes} MiB of headers were taken")
    try:
        return connection.recv(4096)
    except ConnectionError:
        return b""  # the reply was lost with the connection


@pytest.mark.parametrize(
    "piece", [b"x" * 65536, b"X-Name: value\r\n" * 4096], ids=["one endless header", "many headers"]
)
def test_a_head_that_does_not_end_is_cut_and_leaves_the_memory_alone(served, piece):
    url, process = served
    before = process.memory_info().rss
    with _connected(url) as connection:
        answered = _send_on(connection, piece, megabytes=200)
    assert answered == b"" or answered.startswith(b"HTTP/1.1 431 ")
    assert process.memory_info().rss - before < 20 * MIB
    assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200


def test_a_long_head_within_the_limit_is_answered_also_on_a_connection_that_is_kept(served):
    url, _ = served
    with httpx.Client(base_url=url, trust_env=False) as client:
        for _ in range(3):
            assert client.get("/healthz", headers={"X-Long": "x" * (MAX_HEAD - 2000)}).status_code == 200
            body = b'{"user_id": "u", "event_type": "x", "properties": {"p": "' + b"x" * 60_000 + b'"}}'
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            assert client.post("/v1/events", content=body, headers=headers).status_code == 202


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_cut_at_its_limit_and_leaves_the_memory_alone(served, encoding):
    url, process = served
    zeros = bytes(64 * MIB)
    bomb = gzip.compress(zeros) * 8 if encoding == "gzip" else zstandard.compress(zeros) * 8
    before = process.memory_info().rss
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/x-ndjson", "Content-Encoding": encoding}
    reply = httpx.post(f"{url}/v1/events/batch", content=bomb, headers=headers, trust_env=False, timeout=60)
    assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large")
    assert process.memory_info().rss - before < 100 * MIB


def test_a_body_is_not_read_before_the_token_is_known(served):
    url, _ = served
    with _connected(url) as connection:
        connection.sendall(
            b"POST /v1/events/batch HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Content-Length: 30000000\r\nAuthorization: Bearer nb_unknown\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")
