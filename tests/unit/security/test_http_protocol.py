"""The head of a request that does not end: the connection does."""

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from neonblue_api import http_protocol


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[uvicorn.Server]:
    """uvicorn in a thread of this process, with little patience."""
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT", 0.2)
    config = uvicorn.Config(_answer, port=0, http=http_protocol.Bounded, lifespan="off", log_level="critical")
    made = uvicorn.Server(config)
    thread = threading.Thread(target=made.run)
    thread.start()
    retry(retry=retry_if_result(lambda up: not up), stop=stop_after_delay(30), wait=wait_fixed(0.01))(
        lambda: made.started
    )()
    yield made
    made.should_exit = True
    thread.join()


def _connect(server: uvicorn.Server) -> socket.socket:
    return socket.create_connection(server.servers[0].sockets[0].getsockname(), timeout=30)


@pytest.mark.parametrize("begun", [b"", b"GE", b"GET / HTTP/1.1\r\nHost: a"])
def test_a_connection_whose_first_head_does_not_end_is_closed(server: uvicorn.Server, begun: bytes) -> None:
    with _connect(server) as connection:
        connection.sendall(begun)
        assert connection.recv(100) == b""


def test_a_connection_whose_later_head_does_not_end_is_closed(server: uvicorn.Server) -> None:
    with _connect(server) as connection:
        for _ in range(2):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.recv(1000).endswith(b"ok")
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a")
        assert connection.recv(100) == b""


def test_a_long_request_behind_another_in_one_piece_is_answered(server: uvicorn.Server) -> None:
    body = b"x" * 150_000
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 150000\r\n\r\n" + body
    with _connect(server) as connection:
        connection.sendall(post + b"GET / HTTP/1.1\r\nHost: a\r\n")
        connection.sendall(b"Connection: close\r\n\r\n")
        answered = b""
        while piece := connection.recv(1000):
            answered += piece
        assert answered.count(b"200 OK") == 2
