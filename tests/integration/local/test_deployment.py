"""Servers that are set wrong: each is told by one line, with the setting and the remedy, by whoever meets it first."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from neonblue_local import deployment
from neonblue_pipeline import servers
from neonblue_pipeline.settings import Settings
from tests.fix_stack import PROJECT, Stack
from tests.integration.api.fix_api import NOBODY, TOKEN, served_api
from tests.integration.api.fix_redis import RedisServer

_WRONG = """
wal_level = replica
max_replication_slots = 1
max_slot_wal_keep_size = -1
synchronous_commit = off
"""


def _settings(stack: Stack, **other: str) -> Settings:
    named = {
        "postgres_url": stack.postgres_url,
        "clickhouse_url": stack.clickhouse_url,
        "kafka_bootstrap": stack.kafka_bootstrap,
        "connect_url": stack.connect_url,
    }
    return Settings.model_validate(named | other)


@pytest.fixture(scope="module")
def wrong() -> Iterator[Stack]:
    """A PostgreSQL of a stack of its own, whose settings are those of no deployment."""
    made = Stack()
    try:
        made.up("postgres")
        made.down()
        with (made.home.data("postgres") / "postgresql.auto.conf").open("a") as file:
            file.write(_WRONG)
        made.up("postgres")
        with psycopg.connect(made.postgres_url, autocommit=True) as connection:
            connection.execute("select pg_create_physical_replication_slot('somebody')")
        yield made
    finally:
        made.remove()


def _alone(lines: list[str], word: str) -> str:
    (line,) = [line for line in lines if word in line]
    assert line.startswith("NEONBLUE_POSTGRES_URL: ")
    return line


def test_a_postgresql_that_is_set_wrong_is_told_line_by_line(wrong):
    lines = [str(unfit) for unfit in servers.postgres(_settings(wrong)).unfit]
    assert "is replica; it must be logical: set wal_level = logical" in _alone(lines, "wal_level is")
    assert "is 1, all in use" in _alone(lines, "max_replication_slots is")
    assert "set synchronous_commit = on" in _alone(lines, "synchronous_commit is")
    assert "such as 8GB" in _alone(lines, "max_slot_wal_keep_size is")
    assert len(lines) == 4


def test_setup_refuses_a_postgresql_that_cannot_stream(wrong):
    environment = {**os.environ, **wrong.settings, "NEONBLUE_KAFKA_BOOTSTRAP": "127.0.0.1:9"}
    result = subprocess.run(
        [sys.executable, "-m", "neonblue_pipeline.setup"], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    for beginning in (
        "NEONBLUE_POSTGRES_URL: PostgreSQL's wal_level is replica",
        "NEONBLUE_KAFKA_BOOTSTRAP: Kafka does not answer",
        "NEONBLUE_CONNECT_URL: Kafka Connect does not answer",
        "NEONBLUE_CLICKHOUSE_URL: ClickHouse does not answer",
    ):
        assert len([line for line in lines if line.startswith(beginning)]) == 1, result.stderr
    with psycopg.connect(wrong.postgres_url) as connection:
        assert connection.execute("select to_regclass('events')").fetchone() == (None,)


def test_an_api_tells_at_its_start_what_is_wrong_with_its_servers(wrong, capfd):
    said: list[str] = []

    def all_told() -> bool:
        said.append(capfd.readouterr().err)
        return all(word in "".join(said) for word in ("wal_level", "schema is not applied", "NEONBLUE_CLICKHOUSE_URL"))

    with served_api(wrong.postgres_url, NOBODY, by_command=True):
        deadline = time.monotonic() + 30
        while not all_told():
            assert time.monotonic() < deadline, "".join(said)
            time.sleep(0.05)
    lines = [line for line in "".join(said).splitlines() if "NEONBLUE_" in line]
    assert len([line for line in lines if "wal_level is replica; it must be logical" in line]) == 1
    assert len([line for line in lines if "run `python -m neonblue_pipeline.setup`" in line]) == 1
    assert TOKEN not in "".join(said)


def test_a_version_that_is_too_old_is_told_with_the_one_that_is_needed(storage_stack):
    settings = _settings(storage_stack)
    (told,) = servers.postgres(settings, least_version=990000).unfit
    assert "PostgreSQL's version is" in told.what
    assert told.remedy.startswith("it must be 99 or newer")
    (told,) = servers.clickhouse(settings, least_version=(99, 1)).unfit
    assert told.remedy == "upgrade it to 99.1 or newer"


def test_a_clock_that_is_wrong_is_told_with_how_much(storage_stack):
    settings = _settings(storage_stack)
    for look, server in ((servers.postgres, "PostgreSQL"), (servers.clickhouse, "ClickHouse")):
        assert look(settings).unfit == []
        (told,) = look(settings, now=lambda: time.time() + 3_600).unfit  # type: ignore[operator]
        assert told.what.startswith(f"the clock of {server} is 3,")
        assert "behind this machine's" in told.what
        (told,) = look(settings, now=lambda: time.time() - 3_600).unfit  # type: ignore[operator]
        assert "ahead of this machine's" in told.what


def test_kafka_and_connect_are_looked_at(connect_stack):
    settings = _settings(connect_stack)
    found = servers.kafka(settings)
    assert found.unfit == []
    assert "1 brokers" in found.found
    (told,) = servers.kafka(settings, least_version=(99, 0)).unfit
    assert told.setting == "NEONBLUE_KAFKA_BOOTSTRAP"
    (told,) = servers.kafka(_settings(connect_stack, kafka_replication="3")).unfit
    assert str(told).startswith("NEONBLUE_KAFKA_REPLICATION: it is 3, and Kafka has 1 brokers")
    found = servers.connect(settings)
    assert found.unfit == []
    assert "Debezium 3." in found.found


def test_doctor_names_each_setting_that_is_missing_or_leads_nowhere(storage_stack, tmp_path: Path):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("NEONBLUE_", "DAGSTER_HOME"))}
    given = {
        "NEONBLUE_HOME": str(tmp_path / "none"),
        "NEONBLUE_POSTGRES_URL": storage_stack.postgres_url.replace("@", "wrong@"),
        "NEONBLUE_CLICKHOUSE_URL": "http://u:p@127.0.0.1:9",
        "NEONBLUE_KAFKA_BOOTSTRAP": "127.0.0.1:9",
        "NEONBLUE_CONNECT_URL": "http://127.0.0.1:9",
        "NEONBLUE_API_URL": "http://127.0.0.1:9",
        "NEONBLUE_REDIS_URL": "redis://127.0.0.1:9",
    }
    command = [str(Path(sys.executable).with_name("neonblue")), "doctor", "--servers", "--json"]
    result = subprocess.run(
        command, env={**clean, **given}, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 1
    problems = {one["subject"]: one["problem"] for one in json.loads(result.stdout)["findings"]}
    for name in ("NEONBLUE_API_TOKEN", "NEONBLUE_DAGSTER_URL", "NEONBLUE_DAGSTER_POSTGRES_URL"):
        assert problems[name].startswith("it is not set; it must have the form")
    assert "NEONBLUE_CLICKHOUSE_URL, NEONBLUE_REDIS_URL: the password is missing or short" in problems["passwords"]
    assert "password authentication failed" in problems["PostgreSQL"]
    for subject in ("ClickHouse", "Kafka", "Kafka Connect", "API", "Redis"):
        assert "does not answer as it should" in problems[subject], problems
    assert "wrong@" not in result.stdout


def test_a_redis_that_refuses_to_write_when_it_is_full_is_told():
    server = RedisServer()
    server.start()
    try:
        settings = {"NEONBLUE_REDIS_URL": server.url}
        fine = [one for one in deployment.examine(settings) if one.subject == "Redis"]
        assert fine[0].problem is None
        server.client.config_set("maxmemory", "10mb")
        server.client.config_set("maxmemory-policy", "noeviction")
        (told,) = [one for one in deployment.examine(settings) if one.subject == "Redis"]
        assert "set maxmemory-policy allkeys-lru" in str(told.problem)
    finally:
        server.kill()
