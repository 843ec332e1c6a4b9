"""The API as a process of its own against PostgreSQL and ClickHouse of the shared stack. Every test has new keys."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

PROJECT = Path(__file__).parents[3]
TOKEN = "test-token-with-every-scope"


@retry(
    retry=retry_if_exception_type((httpx.TransportError, AssertionError)),
    stop=stop_after_delay(30),
    wait=wait_fixed(0.1),
)
def _wait_until_it_answers(url: str) -> None:
    assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200


@contextmanager
def served_api(
    postgres_url: str, clickhouse_url: str, **settings: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address and the process of an API with these settings; it is ended at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "NEONBLUE_POSTGRES_URL": postgres_url,
        "NEONBLUE_CLICKHOUSE_URL": clickhouse_url,
        "NEONBLUE_API_TOKEN": TOKEN,
        **settings,
    }
    command = [sys.executable, "-m", "uvicorn", "neonblue_api.main:app", "--port", str(port), "--no-access-log"]
    process = subprocess.Popen(command, env=environment, cwd=PROJECT)
    try:
        _wait_until_it_answers(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(20)


def apply_schema(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for path in sorted((PROJECT / "sql" / "postgres").glob("*.sql")):
            connection.execute(path.read_text())


@pytest.fixture(scope="session")
def postgres_url(storage_stack) -> str:
    apply_schema(storage_stack.postgres_url)
    return storage_stack.postgres_url


@pytest.fixture(scope="session")
def api_url(storage_stack, postgres_url: str) -> Iterator[str]:
    with served_api(postgres_url, storage_stack.clickhouse_url) as (url, _):
        yield url


@pytest.fixture(scope="session")
def client(api_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=api_url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30, trust_env=False
    ) as opened:
        yield opened


@pytest.fixture(scope="session")
def database(postgres_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def name() -> str:
    """A key that no other test has."""
    return f"t-{uuid4().hex}"


@pytest.fixture
def draft(client: httpx.Client, name: str) -> str:
    """The key of a new experiment with the variants a (control) and b."""
    reply = client.post("/v1/experiments", json={"key": name, "variants": [{"key": "a"}, {"key": "b"}]})
    assert reply.status_code == 201, reply.text
    return name


@pytest.fixture
def running(client: httpx.Client, draft: str) -> str:
    assert client.post(f"/v1/experiments/{draft}/start").status_code == 200
    return draft


@pytest.fixture
def outbox(database: psycopg.Connection) -> Callable[[str], list[dict]]:
    """Payloads in the outbox for a partition key (a user, or an experiment), oldest first."""

    def read(key: str) -> list[dict]:
        rows = database.execute("select payload from outbox_log where partition_key = %s order by id", (key,))
        return [payload for (payload,) in rows]

    return read
