"""The chDB engine: one a process and path, and a short-lived handle on it for every request."""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import chdb

from neonblue_local.clickhouse.errors import ClickHouseError
from neonblue_local.clickhouse.sql_text import Statement

# chDB takes no query id; this setting changes nothing in it and marks a running query in system.processes.
_MARK = "query_cache_tag"
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


class PathInUse(Exception):
    """Another process has the engine's folder open."""


@dataclass(frozen=True)
class Counts:
    """What a statement read and wrote, in rows and bytes, and how long it took."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0
    elapsed_ns: int = 0

    def summary(self) -> str:
        """The value of X-ClickHouse-Summary: a JSON object of decimal strings."""
        return json.dumps({**{name: str(value) for name, value in vars(self).items()}, "total_rows_to_read": "0"})


@dataclass(frozen=True)
class Run:
    """How a request wants its statement to be run.

    Attributes:
        mark: a text unique in this process, by which `Engine.kill` finds the query.
        settings: ClickHouse settings as text.
        params: values of `{name:Type}` placeholders, escaped as in TabSeparated.
        read_only: refuse statements that change data or the readonly setting.
    """

    mark: str
    database: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = False


def literal(text: str) -> str:
    """`text` as a ClickHouse string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(text: str) -> str:
    """`text` as a quoted ClickHouse identifier."""
    return "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"


class Engine:
    """The engine on `path`. Opening it takes the folder's lock, which the kernel frees when the process ends.

    Raises:
        PathInUse: another process holds the folder.
        ClickHouseError: the engine refuses the folder or the settings file.
    """

    def __init__(self, path: Path, config_file: Path | None = None) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (path / "metadata").mkdir(exist_ok=True)  # without it DROP … SYNC hangs for ever
        self.path = path
        self._lock = _take_lock(path)
        self._address = f"{path}?config-file={config_file}" if config_file else str(path)
        try:
            self._anchor = chdb.connect(
                self._address
            )  # keeps the engine alive between requests; runs no client's query
            row = self._anchor.query("SELECT version(), timezone()", "JSONCompact").bytes()
        except RuntimeError as error:
            raise ClickHouseError.from_engine(error) from error
        self.version, self.timezone = json.loads(row)["data"][0]

    def connect(self) -> "Handle":
        """A new handle, 0.15 ms. No setting, database or temporary table of another handle is seen through it."""
        try:
            return Handle(chdb.connect(self._address))
        except RuntimeError as error:
            raise ClickHouseError.from_engine(error) from error

    def answers(self) -> bool:
        """True if a query really runs; it may take as long as the engine hangs."""
        with self.borrowed() as handle:
            return handle.ask("SELECT 1") == [["1"]]

    def kill(self, mark: str) -> None:
        """Ask the running query that carries `mark` to stop; nothing happens if there is none."""
        with self.borrowed() as handle:
            handle.ask(f"KILL QUERY WHERE Settings[{literal(_MARK)}] = {literal(mark)} ASYNC")

    def engine_query_id(self, mark: str) -> str | None:
        """The engine's own id of the running query that carries `mark`."""
        with self.borrowed() as handle:
            rows = handle.ask(f"SELECT query_id FROM system.processes WHERE Settings['{_MARK}'] = {literal(mark)}")  # noqa: S608
        return rows[0][0] if rows else None

    @contextmanager
    def borrowed(self) -> Iterator["Handle"]:
        """A handle for the length of a block."""
        handle = self.connect()
        try:
            yield handle
        finally:
            handle.close()

    def close(self) -> None:
        """Detach tables and free the folder. All other handles must be closed."""
        self._anchor.close()
        os.close(self._lock)


class Handle:
    """One connection of the engine. Used by one thread at a time; every method may raise ClickHouseError."""

    def __init__(self, connection: chdb.state.sqlitelike.Connection) -> None:
        self._connection = connection

    def close(self) -> None:
        """Give the connection back; its temporary tables are dropped."""
        self._connection.close()

    def ask(self, sql: str) -> list[list[str]]:
        """The rows of a small query, as text."""
        found = self._query(sql.encode(), "JSONCompactStrings").bytes()
        return json.loads(found)["data"] if found else []

    def enter(self, run: Run) -> None:
        """Apply what a request asks for: database, settings, mark, readonly."""
        if run.database:
            self._query(f"USE {identifier(run.database)}".encode())
        pairs = {"implicit_select": "0", **run.settings, _MARK: run.mark}
        if run.read_only and pairs.get("readonly", "0") == "0":
            pairs["readonly"] = "2"
        for name in pairs:
            if not _SETTING_NAME.fullmatch(name):
                raise ClickHouseError.of(
                    "UNKNOWN_SETTING", f"Unknown setting {name!r}: a name has letters, digits and _."
                )
        readonly = pairs.pop("readonly", None)  # last, since nothing can be set after it
        assignments = [f"{name} = {literal(value)}" for name, value in pairs.items()]
        if readonly is not None:
            assignments.append(f"readonly = {literal(readonly)}")
        self._query(f"SET {', '.join(assignments)}".encode())

    def restorer(self, run: Run) -> list[str]:
        """Statements that undo `enter`, to be asked for before it: for a handle that outlives the request."""
        names = ", ".join(literal(name) for name in (*run.settings, _MARK, "implicit_select"))
        rows = self.ask(f"SELECT name, value, changed FROM system.settings WHERE name IN ({names})")  # noqa: S608
        undo = [f"SET {name} = {literal(value) if changed == '1' else 'DEFAULT'}" for name, value, changed in rows]
        if run.database:
            undo.append(f"USE {identifier(self.ask('SELECT currentDatabase()')[0][0])}")
        return undo

    def select(self, statement: Statement, format_name: str, params: Mapping[str, str], fd: int) -> Counts:
        """Write the rows of a SELECT to the file descriptor `fd` of this process, as the engine produces them."""
        tail = f"\nINTO OUTFILE '/dev/fd/{fd}' TRUNCATE FORMAT {format_name}".encode()
        return self._counts(statement.text + tail + statement.settings, "TabSeparated", params)[0]

    def insert(self, statement: Statement, params: Mapping[str, str], fd: int) -> Counts:
        """INSERT the data that the file `fd` of this process holds from its start."""
        sql = b"%s FROM INFILE '/dev/fd/%d' COMPRESSION 'none' %s FORMAT %s" % (
            *(statement.text, fd, statement.settings),
            (statement.format or "Values").encode(),
        )
        counts, _ = self._counts(sql, "TabSeparated", params)
        rows, size = counts.result_rows, os.fstat(fd).st_size
        return Counts(rows, size, rows, size, elapsed_ns=counts.elapsed_ns)

    def run(self, statement: Statement, format_name: str, params: Mapping[str, str]) -> tuple[Counts, bytes]:
        """Any other statement, with its whole reply."""
        return self._counts(statement.text, format_name, params)

    def columns(self, statement: Statement, params: Mapping[str, str]) -> list[tuple[str, str]]:
        """Names and types of a SELECT's columns."""
        found = self._query(b"DESCRIBE (" + statement.text + b"\n)", "JSONCompactStrings", params).bytes()
        return [(row[0], row[1]) for row in json.loads(found)["data"]]

    def _counts(self, sql: bytes, format_name: str, params: Mapping[str, str]) -> tuple[Counts, bytes]:
        started = time.perf_counter_ns()
        result = self._query(sql, format_name, params)
        counts = Counts(
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            result_rows=result.rows_read(),
            result_bytes=result.bytes_read(),
            elapsed_ns=time.perf_counter_ns() - started,
        )
        return counts, result.bytes() or b""

    def _query(self, sql: bytes, format_name: str = "TabSeparated", params: Mapping[str, str] | None = None):  # type: ignore[no-untyped-def]
        try:
            return self._connection.query(sql, format_name, params=dict(params or {}))
        except (RuntimeError, UnicodeDecodeError) as error:
            raise ClickHouseError.from_engine(error) from error


def _take_lock(path: Path) -> int:
    """The locked file descriptor of `path`/gateway.lock, which names the process that holds it."""
    file = path / "gateway.lock"
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        message = (
            f"{path} is in use by process {holder}: one engine a folder. Stop that process, or give another --path."
        )
        raise PathInUse(message) from None
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock
