"""Dagster's storage: its connections are kept, and one that was ended is replaced."""

import psycopg
import sqlalchemy
from dagster import DagsterInstance

from neonblue_local.home import PROJECT
from neonblue_pipeline.settings import psycopg_url
from tests.fix_stack import Stack


def test_dagster_keeps_its_connection_and_outlives_its_end(storage_stack: Stack, monkeypatch) -> None:
    url = storage_stack.settings["NEONBLUE_DAGSTER_POSTGRES_URL"]
    monkeypatch.setenv("NEONBLUE_DAGSTER_POSTGRES_URL", url)
    with DagsterInstance.from_config(str(PROJECT), "dagster.yaml") as instance:

        def backend() -> int:
            with instance.run_storage.connect() as connection:
                return int(connection.execute(sqlalchemy.text("select pg_backend_pid()")).scalar_one())

        kept = backend()
        instance.get_runs(limit=1)
        assert backend() == kept

        with psycopg.connect(psycopg_url(url), autocommit=True) as postgres:
            postgres.execute("select pg_terminate_backend(%s, 5000)", (kept,))
        instance.get_runs(limit=1)
        assert backend() != kept
