"""A backup into running, empty servers: PostgreSQL, a new slot, ClickHouse, then what lies between the two. No Dagster.

Intake and Dagster must stand still meanwhile. A restore that was cut short is repeated as a whole; until then nothing
is accepted (restores.py).
"""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import psycopg
import zstandard

from neonblue_pipeline import audit, backup, connector, kafka, ledger, recovery, replay, restores
from neonblue_pipeline import clickhouse as clickhouse_client
from neonblue_pipeline.arrival import await_consumed
from neonblue_pipeline.backup import Backup
from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.erasing import again, steps
from neonblue_pipeline.erasing.again import Ledger
from neonblue_pipeline.errors import BackupError, ChangedFile
from neonblue_pipeline.replay import Healed
from neonblue_pipeline.settings import CANARY_USER, Settings
from neonblue_pipeline.sqlfiles import sql_files

# What a dump of the schema does not hold: publication, slot, privileges.
_AFTER_THE_DUMP = (
    "postgres/090_publication.sql",
    "postgres/092_slot.sql",
    "postgres/095_outbox_replay.sql",
    "postgres/100_audit.sql",  # privileges
)
# Applied by earlier versions, and no file any more.
_GONE = {"postgres/042_events_of_user.sql"}
_DROPS = re.compile(r"^drop table (?:if exists )?(\w+)", re.MULTILINE)
# Functions and tables of ours; an extension's belong to the superuser.
_CLEAR = """
do $$
declare statement text;
begin
    drop publication if exists experiments_outbox;
    foreach statement in array array(
        select format('drop %s if exists public.%I cascade', case relkind when 'v' then 'view' else 'table' end,
                      relname)
        from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v') and not relispartition
          and relname <> 'restore_underway'
    ) loop
        execute statement;
    end loop;
    foreach statement in array array(
        select format('drop routine if exists %s cascade', oid::regprocedure)
        from pg_proc p where pronamespace = 'public'::regnamespace
          and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    ) loop
        execute statement;
    end loop;
end $$
"""
_AT_ONCE = 32 << 20
_FLOATS = {"Float64": "String", "Nullable(Float64)": "Nullable(String)"}
_PIECE = "restored_piece"


def examine(
    settings: Settings, folder: Path, *, overwrite: bool = False, erasures: Path | None = None
) -> tuple[Backup, Ledger]:
    """The backup, and who was erased since as the file `erasures` says. Changes nothing; raises BackupError.

    Without `overwrite` it refuses servers that hold experiments, assignments or events.
    """
    found = backup.read(folder)
    erased = again.read_file(erasures) if erasures else []
    again.demand_key(settings, erased + again.read(settings) + backup.dumped_rows(settings, folder, "erasures"))
    _demand_version(settings, folder, found)
    _demand_columns(settings, found)
    with psycopg.connect(settings.postgres_url, autocommit=True) as postgres:
        there = backup.facts_in(postgres, CANARY_USER)
    if there and not overwrite:
        raise BackupError(
            f"this PostgreSQL holds {there}; restore into an empty stack, or add --overwrite to lose what it holds"
        )
    return found, erased


def _demand_version(settings: Settings, folder: Path, found: Backup) -> None:
    """Raises BackupError for a backup whose tables this version does not know or would not change into its own."""
    dumped = {row["name"]: row["checksum"] for row in backup.dumped_rows(settings, folder, "applied_files")}
    applied = {name: checksum for name, checksum in dumped.items() if name not in _AFTER_THE_DUMP}
    known = {file.name for file in sql_files("postgres")} | _GONE
    unknown = [f"sql/{name}" for name in sorted(dumped.keys() - known)]
    files = sql_files("clickhouse")
    tables = recovery.expected_objects(files).keys() | {name for file in files for name in _DROPS.findall(file.text)}
    unknown += [f"ClickHouse's table {table.table}" for table in found.tables if table.table not in tables]
    if unknown:
        raise BackupError(
            f"{folder} is of a newer version, with {', '.join(unknown)}; restore it with the version that it is of"
        )
    try:
        ledger.pending(sql_files("postgres"), applied)
    except ChangedFile as error:
        raise BackupError(
            f"{folder} is of another version, whose tables this one cannot make its own; restore it with the version "
            "that it is of"
        ) from error


def _demand_columns(settings: Settings, found: Backup) -> None:
    """Raises BackupError for columns that are not in the tables here; one that is not there yet is looked at later."""
    with clickhouse_client.connect(settings, "neonblue restore", database=None) as clickhouse:
        columns = backup.stored_tables(clickhouse)
    for table in found.tables:
        lacking = set(table.columns) - set(columns.get(table.table, table.columns))
        if lacking:
            raise BackupError(
                f"{table.path} has columns that {table.table} lacks here: {', '.join(sorted(lacking))}; "
                "restore with the version it is of"
            )


def restore(
    settings: Settings, folder: Path, found: Backup, erased: Ledger, tell: Callable[[str], None] = lambda _: None
) -> Healed:
    """Makes both databases what they were; returns what had to be sent again. Raises BackupError, ErasureHeld.

    Takes what `examine` gave. Who was erased since is erased again, as `erased` or the ledger of this PostgreSQL says,
    before anybody can read it.
    """
    settings = restores.writing(settings)
    recovery.restore_objects(settings)
    _demand_columns(settings, found)
    kafka.ensure_topic(settings)
    _stop_stream(settings, found, tell)
    erased = erased + again.read(settings)
    _restore_postgres(settings, folder, found.ended_at, erased)
    again.add(settings, erased)
    tell(f"PostgreSQL: {found.postgres_bytes:,} bytes")
    _restore_clickhouse(settings, folder, found, tell)
    connector.register(settings)
    tell("what ClickHouse lacks is sent again")
    healed = replay.heal(settings, tell=tell)
    if number := again.open_again(settings):
        tell(f"{number} people are erased again")
        steps.erase(settings, tell)
    restores.finish(settings)
    return healed


def _stop_stream(settings: Settings, found: Backup, tell: Callable[[str], None]) -> None:
    """Nothing of the life before may arrive after the restore: the connector stops, the topic is read to its end."""
    recovery.give_up_slot(settings)
    behind = await_consumed(settings, 60)
    if behind:
        raise BackupError(f"{behind}, which would arrive after the restore; see ClickHouse's log, then repeat")
    tell(f"backup of {found.ended_at[:19]}Z, {found.bytes:,} bytes")


def _restore_postgres(settings: Settings, folder: Path, made_at: str, erased: Ledger) -> None:
    with psycopg.connect(settings.postgres_url, autocommit=True) as postgres:
        restores.begin(postgres, folder, erased, _CLEAR)
    # What is in the schema, without the schema itself, which is there; whoever looks in meanwhile sees all or nothing.
    options = ("--schema=public", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
    backup.run_postgres_program(settings, "pg_restore", "--dbname=", *options, str(folder / backup.POSTGRES_DUMP))
    with ledger.postgres_schema(settings) as schema:
        schema.connection.execute("delete from applied_files where name = any(%s)", (list(_AFTER_THE_DUMP),))
        # The slot begins here: every fact of the dump is older, every fact to come is streamed.
        ledger.apply(schema, sql_files("postgres"))
        schema.connection.execute("analyze")
        audit.record(schema.connection, "restore", "backup", None, {"made_at": made_at})


def _restore_clickhouse(settings: Settings, folder: Path, found: Backup, tell: Callable[[str], None]) -> None:
    files = [file.rendered(settings.sql_variables) for file in sql_files("clickhouse")]
    with ledger.clickhouse_schema(settings, "neonblue restore") as schema:
        clickhouse: ClickHouse = schema.clickhouse
        # Rows go into each table as they were: no view may add to them.
        chain = [file for file in files if ledger.KAFKA_TABLE <= file.name <= ledger.TAP and file.repeatable]
        schema.close_tap(chain)
        for (view,) in clickhouse.rows(
            "select name from system.tables where database = currentDatabase() and engine = 'MaterializedView'"
        ):
            clickhouse.command(f"drop view {view} sync")
        columns = backup.stored_tables(clickhouse)
        for name in [*columns, "dirty_days", "dirty_assignments"]:
            clickhouse.command(f"truncate table {name}")
        for table in found.tables:
            if table.table not in columns:
                tell(f"ClickHouse: {table.table} is no table of this version: left out")
                continue
            insert_exactly(clickhouse, table.table, table.columns, _pieces(folder / table.path))
            tell(f"ClickHouse: {table.table}: {table.rows:,} rows")
        days = [row[0] for row in clickhouse.rows("select distinct event_date from events_processed order by 1")]
        replay.mark_days(clickhouse, days)
        ledger.apply(schema, files)


def insert_exactly(clickhouse: ClickHouse, table: str, columns: Sequence[str], pieces: Iterable[bytes]) -> None:
    """Inserts tab-separated rows; a number that is a column's whole value arrives to its last bit.

    Of text ClickHouse reads decimal numbers roughly: two in a hundred come out a last bit off. Before 26.7 (its issue
    60146) only toFloat64 heeds precise_float_parsing, so numbers arrive as text and are read from there. Those inside
    arrays and tuples stay rough: rollups and results hold them, which are made again from the events.
    """
    query = "select name, type from system.columns where database = currentDatabase() and table = {table:String}"
    types = {str(name): str(kind) for name, kind in clickhouse.rows(query, {"table": table})}
    if not any(types[column] in _FLOATS for column in columns):
        for piece in pieces:
            clickhouse.insert_text(table, columns, piece, "TabSeparated")
        return
    declared = ", ".join(f"`{column}` {_FLOATS.get(types[column], types[column])}" for column in columns)
    read = ", ".join(f"toFloat64(`{column}`)" if types[column] in _FLOATS else f"`{column}`" for column in columns)
    names = ", ".join(f"`{column}`" for column in columns)
    clickhouse.command(f"drop table if exists {_PIECE}")  # a restore that was killed may have left it
    clickhouse.command(f"create table {_PIECE} ({declared}) engine = Memory")
    for piece in pieces:
        clickhouse.insert_text(_PIECE, columns, piece, "TabSeparated")
        clickhouse.command(
            f"insert into {table} ({names}) select {read} from {_PIECE}",  # noqa: S608
            precise_float_parsing=1,
            max_partitions_per_insert_block=0,
        )
        clickhouse.command(f"truncate table {_PIECE}")
    clickhouse.command(f"drop table {_PIECE}")


def _pieces(path: Path) -> Iterator[bytes]:
    """The file's rows in pieces of some megabytes, each of whole lines."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as unpacked:
        reader = io.BufferedReader(unpacked, 1 << 20)
        while piece := reader.read(_AT_ONCE):
            yield piece + reader.readline()
