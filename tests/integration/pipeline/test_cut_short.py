"""A restore of PostgreSQL that does not come to its end, and one that must not begin; on a PostgreSQL of its own."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from uuid import uuid4

import dagster as dg
import httpx
import psycopg
import pytest

from neonblue_pipeline import alarms, backup, recovery, restore, restores, sensors, servers, setup
from neonblue_pipeline.backup import POSTGRES_DUMP, Backup, TableFile
from neonblue_pipeline.definitions import defs
from neonblue_pipeline.erasing import again
from neonblue_pipeline.errors import BackupError, RecoveryError
from neonblue_pipeline.probes import Finding
from neonblue_pipeline.resources import Servers
from neonblue_pipeline.settings import Settings, read_settings
from tests.fix_postgres import OwnPostgres, own_postgres
from tests.integration.api.fix_api import NOBODY, TOKEN, apply_schema, served_api

KEY, OTHER_KEY = "k" * 43, "o" * 43


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    with own_postgres() as made:
        apply_schema(made.url())
        yield made


@pytest.fixture
def settings(server: OwnPostgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Of PostgreSQL alone: no other server is there."""
    for name, value in {
        "POSTGRES_URL": server.url(),
        "CLICKHOUSE_URL": NOBODY,
        "KAFKA_BOOTSTRAP": "127.0.0.1:9",
        "CONNECT_URL": "http://127.0.0.1:9",
        "PRIVACY_KEY": KEY,
        "ALARM_LASTS_S": "0",
    }.items():
        monkeypatch.setenv(f"NEONBLUE_{name}", value)
    monkeypatch.delenv("PGOPTIONS", raising=False)
    settings = read_settings()
    yield settings
    with psycopg.connect(restores.writing(settings).postgres_url) as postgres:
        left = restores.underway(postgres)
    if left:
        restores.finish(settings)


def dumped(settings: Settings, folder: Path) -> Backup:
    """A backup of PostgreSQL alone."""
    folder.mkdir()
    dump = folder / POSTGRES_DUMP
    options = ("--format=custom", "--schema=public", "--no-owner", "--no-privileges", f"--file={dump}")
    backup.run_postgres_program(settings, "pg_dump", *options)
    return written(folder, Backup("2026-01-01T00:00:00", "2026-01-01T00:01:00", "180000", 0, "", []))


def written(folder: Path, made: Backup) -> Backup:
    """With a manifest that fits the dump."""
    dump = (folder / POSTGRES_DUMP).read_bytes()
    made = replace(made, postgres_bytes=len(dump), postgres_sha256=hashlib.sha256(dump).hexdigest())
    (folder / backup.MANIFEST).write_text(json.dumps(asdict(made)))
    return made


def cut_short(settings: Settings, folder: Path) -> None:
    """As a process that is killed when PostgreSQL is restored."""
    erased = again.read(settings)
    restore._restore_postgres(restores.writing(settings), folder, "2026-01-01T00:01:00", erased)


def ask_to_erase(settings: Settings, user: str) -> None:
    with psycopg.connect(settings.postgres_url) as postgres:
        postgres.execute("select set_config('neonblue.privacy_key', %s, false)", (KEY,))
        postgres.execute("select request_erasure(%s, 'test', null)", (user,))


def test_until_a_restore_is_over_nothing_is_accepted_and_everybody_says_how_to_end_it(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a backup"
    dumped(settings, folder)
    way_out = f"repeat `neonblue restore --overwrite '{folder}'`"
    with (
        served_api(settings.postgres_url, NOBODY) as (url, _),
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False) as api,
    ):

        def statuses() -> list[int]:
            one = {"id": str(uuid4()), "user_id": "u", "event_type": "click"}
            return [
                api.get("/readyz").status_code,
                api.post("/v1/events", json=one).status_code,
                api.post("/v1/users", json={"user_id": str(uuid4())}).status_code,
                api.post("/v1/metrics", json={"key": str(uuid4()), "kind": "mean", "event_type": "x"}).status_code,
            ]

        assert statuses() == [200, 202, 201, 201]
        cut_short(settings, folder)
        assert statuses() == [503] * 4
        assert "a restore is not over" in api.get("/readyz").json()["detail"]

        (told,) = [unfit for unfit in servers.postgres(settings).unfit if unfit.needed]
        assert way_out in str(told)
        for arguments in ([], ["--check"]):
            assert setup.main(arguments) == 1
            assert way_out in capsys.readouterr().err
        with pytest.raises(BackupError, match="is not over"):
            backup.make(settings, tmp_path / "second")
        assert not (tmp_path / "second").exists()
        (problem,) = recovery.problems(settings)
        assert way_out in problem.found
        with pytest.raises(RecoveryError, match="is not over"):
            recovery.recover(settings)
        with dg.build_sensor_context(
            instance=dg.DagsterInstance.ephemeral(), definitions=defs, resources={"servers": Servers()}
        ) as context:
            for _ in range(3):
                asked = sensors.broken_stream(context)
                assert isinstance(asked, dg.SensorResult)
                assert not asked.run_requests
        change = alarms.record(settings, {"api": [Finding("api not ready", "the API refuses events", "503", "wait")]})
        assert [alarm.key for alarm in change.broken] == ["api not ready"]

        restores.finish(settings)
        assert statuses() == [200, 202, 201, 201]
    with psycopg.connect(settings.postgres_url) as postgres:
        assert postgres.execute("select to_regclass('restore_underway')").fetchone() == (None,)


def test_who_was_erased_since_the_backup_is_known_however_often_its_restore_was_cut_short(
    settings: Settings, tmp_path: Path
) -> None:
    ask_to_erase(settings, "before")
    dumped(settings, tmp_path / "one")
    ask_to_erase(settings, "since")
    ledger = again.read(settings)
    assert len(ledger) == 2
    for _ in range(2):
        cut_short(settings, tmp_path / "one")
        with psycopg.connect(settings.postgres_url) as postgres:
            assert postgres.execute("select count(*) from erasures").fetchone() == (1,)
        assert again.read(settings) == ledger
    again.add(restores.writing(settings), again.read(settings))
    restores.finish(settings)
    assert again.read(settings) == ledger


def test_a_backup_that_cannot_be_restored_here_is_refused_when_it_is_looked_at(
    settings: Settings, tmp_path: Path
) -> None:
    ask_to_erase(settings, "gone")
    folder = tmp_path / "one"
    made = dumped(settings, folder)
    later = TableFile("later_rows", ["id"], 0, 0, hashlib.sha256(b"").hexdigest())
    (folder / "clickhouse").mkdir()
    (folder / later.path).touch()
    written(folder, replace(made, tables=[later]))
    with pytest.raises(BackupError, match="newer version, with ClickHouse's table later_rows; restore it with"):
        restore.examine(settings, folder, overwrite=True)
    with psycopg.connect(settings.postgres_url) as postgres:
        postgres.execute("insert into applied_files values ('postgres/999_later.sql', '')")
    try:
        dumped(settings, tmp_path / "two")
    finally:
        with psycopg.connect(settings.postgres_url) as postgres:
            postgres.execute("delete from applied_files where name = 'postgres/999_later.sql'")
    with pytest.raises(BackupError, match=r"newer version, with sql/postgres/999_later\.sql; restore it with"):
        restore.examine(settings, tmp_path / "two", overwrite=True)
    # Of the dump itself, where the ledger here names nobody.
    with psycopg.connect(settings.postgres_url) as postgres:
        postgres.execute("delete from erasure_users")
        postgres.execute("delete from erasures")
    with pytest.raises(BackupError, match="another NEONBLUE_PRIVACY_KEY"):
        restore.examine(settings.model_copy(update={"privacy_key": OTHER_KEY}), folder, overwrite=True)
    (folder / POSTGRES_DUMP).write_bytes(b"no dump")
    written(folder, made)
    with pytest.raises(BackupError, match=r"pg_restore ended with 1: .*does not appear to be a valid archive"):
        restore.examine(settings, folder, overwrite=True)
