"""One embedded stack for a whole test run: folder, ports and passwords of its own, started when a test first asks.

    stack           everything: API, Dagster, all tables and the connector
    connect_stack   PostgreSQL, Kafka, Connect and ClickHouse, without tables
    storage_stack   PostgreSQL and ClickHouse, without tables
    empty_stack     nothing runs yet; the test starts what it wants and it is stopped afterwards

The first three are the same stack, at different times of its life: a test that needs little does not wait for much.
Their settings are in os.environ, too, as for any program that uses the stack.
"""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from neonblue_local import environment
from neonblue_local.home import HOST, PORTS, PROJECT, Home

SETTINGS_OF_A_STACK = ("NEONBLUE_", "DAGSTER_HOME", "PGOPTIONS")
_PREFIX = ".neonblue-test-"
# All tests come from one address, and generated requests try hundreds of wrong tokens.
_GENEROUS = {"NEONBLUE_LOCKOUT_GUESSES": "0"}
NEONBLUE = Path(sys.executable).with_name("neonblue")


class Stack:
    """A stack of its own in a folder of its own, by default inside the project's."""

    def __init__(self, parent: Path = PROJECT) -> None:
        end_stacks_of_killed_runs()
        begun = Path(tempfile.mkdtemp(prefix=".neonblue-begun-", dir=parent))
        # Held as long as this process lives: a later run knows by it which stacks nobody owns any more. The folder gets
        # the name by which it is found only when it is owned, or a run that begins now would take it for a dead one's.
        self._owned = (begun / "owner").open("w")
        fcntl.flock(self._owned, fcntl.LOCK_EX)
        root = begun.rename(begun.with_name(begun.name.replace(".neonblue-begun-", _PREFIX)))
        self.home = Home(root, _free_port_base())

    def up(self, *parts: str, check: bool = True, **variables: str) -> "subprocess.CompletedProcess[str]":
        """`neonblue up`, of these parts or of all."""
        only = ["--only", ",".join(parts)] if parts else []
        return self.run("up", *only, check=check, **variables)

    def down(self, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return self.run("down", check=check)

    def run(self, *arguments: str, check: bool = True, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of `neonblue` on this stack; with `check`, its failure is the test's, with all it printed."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(SETTINGS_OF_A_STACK)}
        own = {"NEONBLUE_HOME": str(self.home.root), "NEONBLUE_PORT_BASE": str(self.home.port_base)}
        result = subprocess.run(
            [str(NEONBLUE), *arguments], env={**clean, **own, **variables}, capture_output=True, text=True, check=False
        )
        if check and result.returncode:
            said = f"{result.stdout}{result.stderr}"
            pytest.fail(f"neonblue {' '.join(arguments)}: exit code {result.returncode}\n{said}")
        return result

    @property
    def settings(self) -> dict[str, str]:
        return environment.read(self.home)

    @property
    def api_url(self) -> str:
        return self.settings["NEONBLUE_API_URL"]

    @property
    def api_token(self) -> str:
        return self.settings["NEONBLUE_API_TOKEN"]

    @property
    def postgres_url(self) -> str:
        return self.settings["NEONBLUE_POSTGRES_URL"]

    @property
    def clickhouse_url(self) -> str:
        return self.settings["NEONBLUE_CLICKHOUSE_URL"]

    @property
    def kafka_bootstrap(self) -> str:
        return self.settings["NEONBLUE_KAFKA_BOOTSTRAP"]

    @property
    def connect_url(self) -> str:
        return self.settings["NEONBLUE_CONNECT_URL"]

    @property
    def dagster_url(self) -> str:
        return self.settings["NEONBLUE_DAGSTER_URL"]

    def remove(self) -> None:
        """Stop it and delete its folder; the logs of a stack that does not stop are kept."""
        with self._owned:  # until its folder is gone: another worker would delete it, too
            result = self.down(check=False)
            assert result.returncode == 0, f"the stack of the tests did not stop: {result.stderr}"
            shutil.rmtree(self.home.root, ignore_errors=True)


@pytest.fixture(scope="session")
def _shared() -> Iterator[Stack]:
    made = Stack()
    try:
        yield made
    finally:
        for name in [name for name in os.environ if name.startswith(SETTINGS_OF_A_STACK)]:
            del os.environ[name]
        made.remove()


@pytest.fixture(scope="session")
def storage_stack(_shared: Stack) -> Stack:
    """PostgreSQL and ClickHouse run; they hold no tables unless a test of the whole stack ran before."""
    return _started(_shared, "postgres", "clickhouse")


@pytest.fixture(scope="session")
def connect_stack(storage_stack: Stack) -> Stack:
    """PostgreSQL, Kafka, Connect and ClickHouse run."""
    return _started(storage_stack, "postgres", "kafka", "connect", "clickhouse")


@pytest.fixture(scope="session")
def stack(_shared: Stack) -> Stack:
    """Everything runs, with all tables, and the connector streams."""
    return _started(_shared)


@pytest.fixture
def empty_stack() -> Iterator[Stack]:
    """A stack for one test alone, of which nothing runs yet."""
    made = Stack()
    try:
        yield made
    finally:
        made.remove()


def _started(made: Stack, *parts: str) -> Stack:
    made.up(*parts, **_GENEROUS)
    os.environ.update(made.settings)
    # Sessions of tests that call the functions of intake know erased people, as those of the API do.
    os.environ["PGOPTIONS"] = f"-c neonblue.privacy_key={made.settings['NEONBLUE_PRIVACY_KEY']}"
    return made


def _free_port_base() -> int:
    """A base whose ports are all free now. Below the range from which systems give out ports by themselves."""
    for base in range(20000 + os.getpid() % 100 * 100, 32000, 100):
        if all(_is_free(base + offset) for offset in PORTS.values()):
            return base
    pytest.fail("no free range of ports between 20000 and 32000 for the stack of the tests; stop a stack")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def end_stacks_of_killed_runs() -> None:
    """A run that was killed (-9) could not end its stack: do it for it."""
    for root in PROJECT.glob(f"{_PREFIX}*"):
        try:
            file = (root / "owner").open("r+")
        except FileNotFoundError:
            continue  # another run has just deleted it
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if os.fstat(file.fileno()).st_nlink == 0:
                continue  # its owner deleted it between our opening and our locking
            variables = {"NEONBLUE_HOME": str(root), "PATH": os.environ.get("PATH", "")}
            if subprocess.run([str(NEONBLUE), "down"], env=variables, capture_output=True, check=False).returncode == 0:
                shutil.rmtree(root)
