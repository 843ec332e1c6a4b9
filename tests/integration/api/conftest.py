"""The API as a process of its own against PostgreSQL and ClickHouse of the shared stack. Every test has new keys."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.fix_client import ComesBack
from tests.integration.api.fix_api import TOKEN, apply_schema, served_api


@pytest.fixture(scope="session")
def postgres_url(storage_stack) -> str:
    apply_schema(storage_stack.postgres_url)
    return storage_stack.postgres_url


@pytest.fixture(scope="session")
def api_url(storage_stack, postgres_url: str) -> Iterator[str]:
    with served_api(postgres_url, storage_stack.clickhouse_url, NEONBLUE_LOCKOUT_GUESSES="0") as (url, _):
        yield url


@pytest.fixture(scope="session")
def client(api_url: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=api_url, headers=headers, timeout=30, transport=ComesBack()) as opened:
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
    """What the outbox tells of a partition key (a user, or an experiment), the oldest first."""

    def read(key: str) -> list[dict]:
        rows = database.execute("select payload from outbox_log where partition_key = %s order by id", (key,))
        return [fact for (told,) in rows for fact in (told if isinstance(told, list) else [told])]

    return read
