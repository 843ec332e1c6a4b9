"""One gateway process for the whole run, and clients for it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import httpx
import pytest

USER, PASSWORD = "neon", "p@ss:ä"
ENGINE_XML = Path(__file__).parents[3] / "neonblue_local" / "clickhouse" / "engine.xml"


class GatewayProcess:
    """`python -m neonblue_local.clickhouse` on a folder of its own and a free port."""

    def __init__(self, path: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.path = path
        self.url = f"http://127.0.0.1:{self.port}"
        self._options = options
        self.process = self._begin()

    def _begin(self) -> subprocess.Popen[bytes]:
        log = self.path.with_suffix(".log").open("ab")
        with log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "neonblue_local.clickhouse", "--path", str(self.path)),
                    *("--port", str(self.port), "--config-file", str(ENGINE_XML), *self._options),
                ],
                env={
                    **os.environ,
                    "TZ": "UTC",  # as the stack starts it
                    "NEONBLUE_CLICKHOUSE_USER": USER,
                    "NEONBLUE_CLICKHOUSE_PASSWORD": PASSWORD,
                },
                stderr=log,
                stdout=log,
            )

    def restart(self) -> None:
        self.process = self._begin()
        self.wait_until_it_answers()

    def wait_until_it_answers(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log()
            try:
                if httpx.get(f"{self.url}/ping", timeout=5).text == "Ok.\n":
                    return
            except httpx.TransportError:
                time.sleep(0.05)  # between two tries
        raise AssertionError(f"no answer within 60 s: {self.log()}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(20)

    def log(self) -> str:
        return self.path.with_suffix(".log").read_text()

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, auth=(USER, PASSWORD), timeout=60, trust_env=False)

    def client(self, **options):
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=self.port, username=USER, password=PASSWORD, **options
        )


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    running = GatewayProcess(tmp_path_factory.mktemp("gateway") / "engine", "--max-body-bytes", str(64 << 20))
    running.wait_until_it_answers()
    yield running
    assert running.process.poll() is None, running.log()  # no test may have ended it
    assert running.stop() == 0


@pytest.fixture
def own_gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway that the test may kill."""
    running = GatewayProcess(tmp_path / "engine")
    running.wait_until_it_answers()
    yield running
    if running.process.poll() is None:
        running.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def client(gateway: GatewayProcess):
    """An unmodified clickhouse-connect client."""
    with gateway.client() as connected:
        yield connected


@pytest.fixture(scope="session")
def http(gateway: GatewayProcess) -> Iterator[httpx.Client]:
    with gateway.http() as connected:
        yield connected


@pytest.fixture
def table(client, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a table that does not exist yet, and is dropped afterwards."""
    name = f"t_{abs(hash(request.node.nodeid))}"
    yield name
    client.command(f"DROP TABLE IF EXISTS {name} SYNC")
