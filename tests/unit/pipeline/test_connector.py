"""What Kafka Connect does not take in time is told as an error of ours."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from neonblue_pipeline import connector
from neonblue_pipeline.errors import ConnectorError


class _Rebalancing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(409, "Cannot complete request momentarily due to stale configuration")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Rebalancing) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "_PATIENCE_S", 0.1)


def test_a_connect_that_goes_on_rebalancing_is_told_with_what_it_refused(url: str) -> None:
    with (
        httpx.Client(base_url=url, trust_env=False) as connect,
        pytest.raises(
            ConnectorError, match=r"(?s)refused GET /connectors/neonblue_outbox/status with 409.*then repeat"
        ),
    ):
        connector.status(connect)


def test_a_connect_that_is_down_is_told_with_its_address() -> None:
    with (
        httpx.Client(base_url="http://127.0.0.1:9", trust_env=False) as connect,
        pytest.raises(ConnectorError, match=r"Kafka Connect at http://127\.0\.0\.1:9 does not answer.*then repeat"),
    ):
        connector.status(connect)
