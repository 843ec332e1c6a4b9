"""One statement's run in a worker thread: which handle it uses, what is undone afterwards, where its data go."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from neonblue_local.clickhouse.bodies import unnamed_file, write_all
from neonblue_local.clickhouse.engine import Counts, Engine, Handle, Run, identifier
from neonblue_local.clickhouse.errors import ClickHouseError
from neonblue_local.clickhouse.protocol import ExternalTable, empty_native
from neonblue_local.clickhouse.sessions import Session
from neonblue_local.clickhouse.sql_text import Statement, parse

log = logging.getLogger(__name__)


class Execution:
    """A statement, how it is to be run, and the session it belongs to.

    Attributes:
        cancelled: set it to keep the statement from starting; `Engine.kill` stops it once it runs.
    """

    def __init__(
        self,
        engine: Engine,
        query_id: str,
        run: Run,
        statement: Statement,
        session: Session | None,
        external: list[ExternalTable],
    ) -> None:
        self.query_id = query_id
        self.session = session
        self.run = run
        self.statement = statement
        self.cancelled = False
        self._engine = engine
        self._external = external

    def select(self, format_name: str, fd: int) -> Counts:
        """Write a SELECT's rows to `fd`, and close it."""
        try:
            with self._handle() as handle:
                counts = handle.select(self.statement, format_name, self.run.params, fd)
                if counts.result_rows == 0 and format_name == "Native":  # the engine writes nothing at all then
                    write_all(fd, empty_native(handle.columns(self.statement, self.run.params)))
                return counts
        finally:
            os.close(fd)

    def insert(self, data: int) -> Counts:
        """INSERT what the file `data` holds, and close it."""
        try:
            with self._handle() as handle:
                return handle.insert(self.statement, self.run.params, data)
        finally:
            os.close(data)

    def other(self, format_name: str) -> tuple[Counts, bytes]:
        """Anything else, with its reply."""
        with self._handle() as handle:
            return handle.run(self.statement, format_name, self.run.params)

    @contextmanager
    def _handle(self) -> Iterator[Handle]:
        """A handle as the request wants it: a fresh one, or the session's, which is left as it was found."""
        session, keeps = self.session, self.statement.changes_session
        if session is None or (session.handle is None and not keeps):
            with self._engine.borrowed() as handle:
                self._enter(handle, self.run)
                yield handle
            return
        run = self._run_in_session()
        handle = session.handle or self._engine.connect()
        undo = handle.restorer(run)
        try:
            self._enter(handle, run)
            yield handle
            session.handle = handle
        finally:
            for statement in [*undo, *(f"DROP TEMPORARY TABLE IF EXISTS {identifier(t.name)}" for t in self._external)]:
                if not (self.statement.first == "USE" and statement.startswith("USE")):
                    handle.ask(statement)
            if session.handle is not handle:
                handle.close()

    def _run_in_session(self) -> Run:
        """The run without what could not be undone on a handle that is kept."""
        if self.run.settings.get("readonly", "0") != "0":
            message = "readonly cannot be set by URL in a session that holds settings or temporary tables: SET it."
            raise ClickHouseError.of("BAD_REQUEST_PARAMETER", message)
        if self.run.read_only and not (self.statement.reads_only or self.statement.changes_session):
            message = (
                "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly: use POST."
            )
            raise ClickHouseError.of("READONLY", message)
        return replace(self.run, read_only=False)

    def _enter(self, handle: Handle, run: Run) -> None:
        handle.enter(run)
        for table in self._external:
            handle.ask(f"CREATE TEMPORARY TABLE {identifier(table.name)} ({table.structure})")
            insert = parse(f"INSERT INTO {identifier(table.name)} FORMAT {table.format}\n".encode())
            data = unnamed_file(Path(self._engine.path), len(table.data))
            try:
                write_all(data, table.data)
                os.lseek(data, 0, os.SEEK_SET)
                handle.insert(insert, {}, data)
            finally:
                os.close(data)
        if self.cancelled:
            raise ClickHouseError.of("QUERY_WAS_CANCELLED", "Query was cancelled: its client has gone.")
