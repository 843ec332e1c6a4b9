"""An API as a process of its own, and the schema it needs."""

import multiprocessing
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import httpx
import psycopg
import uvicorn
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from neonblue_pipeline import ledger
from neonblue_pipeline.sqlfiles import sql_files

PROJECT = Path(__file__).parents[3]
TOKEN = "test-token-with-every-scope"
# The address of a server that is not there.
NOBODY = "http://nobody:nothing@127.0.0.1:9"


# Forty processes of the API in a run: what each would import is imported once, by the process that they fork from.
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["neonblue_api.main", "neonblue_api.http_protocol", __name__])


class ApiProcess(Protocol):
    """A running API."""

    @property
    def pid(self) -> int | None: ...
    def terminate(self) -> None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float) -> int | None: ...


class _Forked(_forks.Process):  # type: ignore[name-defined,misc]
    def poll(self) -> int | None:
        return self.exitcode

    def wait(self, timeout: float) -> int | None:
        self.join(timeout)
        return self.exitcode


def _serve(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    os.chdir(PROJECT)
    os.environ.clear()
    os.environ.update(environment)
    uvicorn.main(arguments)


class _NotYet(Exception):
    pass


@retry(retry=retry_if_exception_type(_NotYet), stop=stop_after_delay(120), wait=wait_fixed(0.1), reraise=True)
def _wait_until_it_answers(url: str, process: ApiProcess, verify: ssl.SSLContext | bool) -> None:
    if (code := process.poll()) is not None:
        raise RuntimeError(f"the API ended with {code}")
    try:
        httpx.get(f"{url}/healthz", trust_env=False, verify=verify).raise_for_status()
    except httpx.HTTPError as error:
        raise _NotYet(url) from error


@contextmanager
def served_api(
    postgres_url: str,
    clickhouse_url: str,
    *,
    authority: ssl.SSLContext | None = None,
    workers: int = 1,
    by_command: bool = False,
    unset: Sequence[str] = (),
    **settings: str,
) -> Iterator[tuple[str, ApiProcess]]:
    """The address and the process of an API with these settings, `unset` ones left out; it is ended at the end.

    With an authority its address is https, by the certificate that the settings name. Several workers, and what is
    watched from its first line on (`by_command`), are started by uvicorn's command, which forks from nobody.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if name not in unset},
        "NEONBLUE_POSTGRES_URL": postgres_url,
        "NEONBLUE_CLICKHOUSE_URL": clickhouse_url,
        "NEONBLUE_API_TOKEN": TOKEN,
        **settings,
    }
    arguments = ["neonblue_api.main:app", "--port", str(port), "--no-access-log"]
    arguments += ["--http", "neonblue_api.http_protocol:Bounded", "--workers", str(workers)]
    process: ApiProcess
    if by_command or workers > 1:
        process = subprocess.Popen([sys.executable, "-m", "uvicorn", *arguments], env=environment, cwd=PROJECT)
    else:
        process = _Forked(target=_serve, args=(arguments, environment))
        process.start()
    try:
        url = f"{'https' if authority else 'http'}://127.0.0.1:{port}"
        _wait_until_it_answers(url, process, authority or True)
        yield url, process
    finally:
        process.terminate()
        assert process.wait(20) is not None, "the API did not end"


def apply_schema(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(ledger.LEDGER_POSTGRES)
        ledger.apply(ledger.PostgresSchema(connection), sql_files("postgres"))
