"""An API as a process of its own, and the schema it needs."""

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

PROJECT = Path(__file__).parents[3]
TOKEN = "test-token-with-every-scope"
# The address of a server that is not there.
NOBODY = "http://nobody:nothing@127.0.0.1:9"


class _NotYet(Exception):
    pass


@retry(retry=retry_if_exception_type(_NotYet), stop=stop_after_delay(120), wait=wait_fixed(0.1), reraise=True)
def _wait_until_it_answers(url: str, process: "subprocess.Popen[bytes]", verify: ssl.SSLContext | bool) -> None:
    if process.poll() is not None:
        raise RuntimeError(f"the API ended with {process.returncode}")
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
    unset: Sequence[str] = (),
    **settings: str,
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address and the process of an API with these settings, `unset` ones left out; it is ended at the end.

    With an authority its address is https, by the certificate that the settings name.
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
    command = [sys.executable, "-m", "uvicorn", "neonblue_api.main:app", "--port", str(port), "--no-access-log"]
    command += ["--http", "neonblue_api.http_protocol:Bounded"]
    if workers > 1:
        command += ["--workers", str(workers)]
    process = subprocess.Popen(command, env=environment, cwd=PROJECT)
    try:
        url = f"{'https' if authority else 'http'}://127.0.0.1:{port}"
        _wait_until_it_answers(url, process, authority or True)
        yield url, process
    finally:
        process.terminate()
        process.wait(20)


def apply_schema(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for path in sorted((PROJECT / "sql" / "postgres").glob("*.sql")):
            connection.execute(path.read_text())
