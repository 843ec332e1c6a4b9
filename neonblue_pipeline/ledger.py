"""Which SQL files each database has, by checksum; and the only code that applies them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg

from neonblue_pipeline import locks
from neonblue_pipeline.clickhouse import connect
from neonblue_pipeline.errors import ChangedFile, SchemaError
from neonblue_pipeline.settings import DATABASE, Settings
from neonblue_pipeline.sqlfiles import SqlFile

LEDGER_POSTGRES = """
create table if not exists applied_files (
    name       text        primary key,          -- path under sql/
    checksum   text        not null,             -- SHA-256 of what was applied
    applied_at timestamptz not null default now()
)"""
LEDGER_CLICKHOUSE = """
create table if not exists applied_files (
    name       String,                           -- path under sql/
    checksum   String,                           -- SHA-256 of what was applied, variables filled in
    applied_at DateTime64(6, 'UTC') default now64(6)
) engine = ReplacingMergeTree(applied_at) order by name"""
# From here to TAP a changed view means that the stream must stop: rows that pass while a view is away miss its table.
KAFKA_TABLE = "clickhouse/110_raw_events_kafka.sql"
TAP = "clickhouse/190_landing_from_kafka.sql"
_LOCK = "schema"


class Database(Protocol):
    """A database that keeps a ledger."""

    def applied(self) -> dict[str, str]: ...
    def run(self, file: SqlFile) -> None: ...
    def record(self, file: SqlFile) -> None: ...


class PostgresSchema:
    """PostgreSQL: a file and its ledger row in one transaction."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self.connection = connection

    def applied(self) -> dict[str, str]:
        return dict(self.connection.execute("select name, checksum from applied_files").fetchall())

    def run(self, file: SqlFile) -> None:
        try:
            with self.connection.transaction():
                self.connection.execute(file.text.encode())
                self.record(file)
        except psycopg.Error as error:
            raise SchemaError(f"sql/{file.name}: PostgreSQL refused it: {error}") from error

    def record(self, file: SqlFile) -> None:
        self.connection.execute(
            """insert into applied_files (name, checksum) values (%s, %s)
               on conflict (name) do update set checksum = excluded.checksum, applied_at = now()""",
            (file.name, file.checksum),
        )


class ClickHouseSchema:
    """ClickHouse: statement by statement; each can be repeated, so a file that broke off is applied again."""

    def __init__(self, clickhouse: Any) -> None:
        self.clickhouse = clickhouse

    def applied(self) -> dict[str, str]:
        return dict(self.clickhouse.rows("select name, checksum from applied_files final where checksum != ''"))

    def run(self, file: SqlFile) -> None:
        from clickhouse_connect.driver.exceptions import DatabaseError

        for statement in file.statements:
            try:
                self.clickhouse.command(statement)
            except DatabaseError as error:
                first_line = statement.strip().splitlines()[0]
                raise SchemaError(f"sql/{file.name}: ClickHouse refused '{first_line} …': {error}") from error
        self.record(file)

    def record(self, file: SqlFile) -> None:
        self.clickhouse.insert("applied_files", ["name", "checksum"], [[file.name, file.checksum]])

    def forget(self, names: Sequence[str]) -> None:
        """Files whose tables or views are gone: the next apply makes them again."""
        self.clickhouse.insert("applied_files", ["name", "checksum"], [[name, ""] for name in names])

    def close_tap(self, chain: Sequence[SqlFile]) -> None:
        """Stops the stream while `chain` is applied; Kafka keeps what comes in the meantime.

        The files are forgotten first, so that what breaks off half-way is done again as a whole.
        """
        if chain:
            self.forget([file.name for file in chain])
            self.clickhouse.command("drop view if exists landing_from_kafka")


@contextmanager
def postgres_schema(settings: Settings) -> Iterator[PostgresSchema]:
    """PostgreSQL's ledger, created if missing; only one process applies files at a time."""
    with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
        locks.take(connection, _LOCK)
        connection.execute(LEDGER_POSTGRES)
        yield PostgresSchema(connection)


@contextmanager
def clickhouse_schema(settings: Settings, comment: str) -> Iterator[ClickHouseSchema]:
    """ClickHouse's ledger, with its database, created if missing. The lock is PostgreSQL's: ClickHouse has none."""
    with psycopg.connect(settings.postgres_url, autocommit=True) as lock:
        locks.take(lock, _LOCK)
        with connect(settings, comment, database=None) as server:
            server.command(f"create database if not exists {DATABASE}")
        with connect(settings, comment) as clickhouse:
            clickhouse.command(LEDGER_CLICKHOUSE)
            yield ClickHouseSchema(clickhouse)


def pending(files: Sequence[SqlFile], applied: dict[str, str]) -> list[SqlFile]:
    """The files to apply, in order. Raises ChangedFile for one that creates tables and changed since it was applied."""
    todo = []
    for file in files:
        known = applied.get(file.name)
        if known == file.checksum:
            continue
        if known is not None and not file.repeatable:
            raise ChangedFile(
                f"sql/{file.name} was changed after it was applied (its checksum is {file.checksum[:12]}, the one in "
                f"the database {known[:12]}); put the file back and write the change as a new file after it (alter "
                f"table …), or, if the database already has the new shape, run "
                f"`python -m neonblue_pipeline.setup --adopt {file.name}`"
            )
        todo.append(file)
    if any(KAFKA_TABLE <= file.name <= TAP for file in todo):
        # Views behind the tap depend on each other: all of them, in order, with the tap closed.
        chain = {f.name for f in files if KAFKA_TABLE <= f.name <= TAP and f.repeatable}
        names = {f.name for f in todo} | chain
        todo = [f for f in files if f.name in names]
    return todo


def apply(database: Database, files: Sequence[SqlFile]) -> list[str]:
    """Applies what is pending and records it; returns the names of the files applied."""
    todo = pending(files, database.applied())
    if isinstance(database, ClickHouseSchema):
        database.close_tap([file for file in todo if KAFKA_TABLE <= file.name <= TAP])
    for file in todo:
        database.run(file)
    return [file.name for file in todo]
