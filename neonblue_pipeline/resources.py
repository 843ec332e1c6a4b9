"""What assets, checks and sensors reach servers with. Making it opens no connection."""

from contextlib import AbstractContextManager
from typing import Any

import dagster as dg
import psycopg

from neonblue_pipeline import clickhouse
from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.settings import Settings, read_settings


class Servers(dg.ConfigurableResource):
    """The servers named by the NEONBLUE_* variables."""

    @property
    def settings(self) -> Settings:
        return read_settings()

    def clickhouse(self, comment: str) -> AbstractContextManager[ClickHouse]:
        return clickhouse.connect(self.settings, comment)

    def postgres(self) -> "psycopg.Connection[Any]":
        connection = psycopg.connect(self.settings.postgres_url, autocommit=True)
        # One core of a server that takes in events: what compares and keeps does not hurry.
        connection.execute("set max_parallel_workers_per_gather = 0")
        return connection


def comment(context: dg.AssetExecutionContext) -> str:
    """Stamped on each of a step's statements: finds them in ClickHouse's query log by the Dagster run."""
    return f"dagster run {context.run.run_id} step {context.op_execution_context.op.name}"
