"""PostgreSQL: the facts of a person, then every byte of them: pages, indexes, statistics, write-ahead log."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from neonblue_pipeline.arrival import await_arrival
from neonblue_pipeline.errors import ErasureHeld
from neonblue_pipeline.settings import Settings

# Tables that name people in every erasure; the day partitions are those that held facts of them. What is sent again
# passes outbox_replay; audit_log and alarms may have told of them.
_TABLES = (
    "users",
    "assignments",
    "outbox_replay",
    "erasure_users",
    "erasure_steps",
    "audit_log",
    "changes",
    "alarms",
    "alarm_messages",
)
# Writers wait while a table is written anew; for the lock itself they wait no longer than this, several times.
_LOCK_TIMEOUT = "2s"
_TRIES = 30
_PATIENCE_S = 120
_LOOK_EVERY_S = 0.5
_SNAPSHOTS = """
    select 'transaction of process ' || pid || ' since ' || xact_start from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and age(backend_xmin) > age(%(xid)s::text::xid)
    union all
    select 'prepared transaction ' || gid from pg_prepared_xacts
    where database = current_database() and age(transaction) >= age(%(xid)s::text::xid)
"""
_SLOTS = """
    union all
    select 'replication slot ' || slot_name from pg_replication_slots
    where database = current_database() and age(catalog_xmin) > age(%(xid)s::text::xid)
"""
_SUPERUSER_FILE = "sql/superuser/erasure.sql"


def say_key(settings: Settings, postgres: "psycopg.Connection[Any]") -> None:
    """Tells the session the key by which erased people are known."""
    postgres.execute("select set_config('neonblue.privacy_key', %s, false)", (settings.privacy_key_text,))


def write_anew(settings: Settings, partitions: Iterable[str], tell: Callable[[str], None]) -> dict[str, Any]:
    """Writes each table and partition anew without what was deleted, and the statistics that hold samples of values."""
    started = time.monotonic()
    written = []
    with psycopg.connect(settings.postgres_url, autocommit=True) as postgres:
        postgres.execute(f"set lock_timeout = '{_LOCK_TIMEOUT}'".encode())
        _await_horizon(postgres, _SNAPSHOTS, lambda: None)
        for table in (*sorted(set(partitions)), *_TABLES):
            if _is_there(postgres, table):
                _vacuum(postgres, table)
                written.append(table)
                tell(f"{table} is written anew")
        # Statistics of a partitioned table are made of all its partitions, and by nobody but us.
        postgres.execute("analyze events, outbox_log")
        # Of its own tables PostgreSQL keeps what the slot may still ask for.
        _await_horizon(postgres, _SNAPSHOTS + _SLOTS, lambda: _pass_on(settings, postgres))
        _vacuum(postgres, "pg_catalog.pg_statistic")
    return {"tables": written, "seconds": round(time.monotonic() - started, 1)}


def clear_log(settings: Settings) -> dict[str, Any]:
    """Has every file of the write-ahead log removed or written over that was written before now.

    A file goes when the slot and a checkpoint have passed it, or stays under a later name, with its old content until
    it is used again. So the log is switched on, file by file, until none is left that was written before.
    Raises ErasureHeld.
    """
    switches = 0
    deadline = time.monotonic() + _PATIENCE_S
    with psycopg.connect(settings.postgres_url, autocommit=True) as postgres:
        try:
            _switch(postgres)
            row = postgres.execute("select max(modification) from pg_ls_waldir()").fetchone()
            assert row is not None
            mark = row[0]
            old = left = _written_until(postgres, mark)
            while left:
                if time.monotonic() > deadline:
                    raise ErasureHeld(
                        f"{left} of {old} files of PostgreSQL's write-ahead log are as they were before: a slot of "
                        "another reader (pg_replication_slots) or wal_keep_size holds them"
                    )
                # The slot keeps what Connect has not confirmed, and asks for the log from its last snapshot on.
                _pass_on(settings, postgres)
                switches += 1
                before, left = left, _written_until(postgres, mark)
                if left < before:
                    deadline = time.monotonic() + _PATIENCE_S
            # The last of them may be the one that is written to now, filled up to here only.
            _switch(postgres)
        except psycopg.errors.InsufficientPrivilege as error:
            raise _not_allowed(error) from error
    return {"log_files": old, "switches": switches}


def _switch(postgres: "psycopg.Connection[Any]") -> None:
    postgres.execute("select pg_logical_emit_message(true, 'neonblue-heartbeat', '')")
    # Fills the rest of the file with zeros.
    postgres.execute("select pg_switch_wal()")
    postgres.execute("checkpoint")


def _pass_on(settings: Settings, postgres: "psycopg.Connection[Any]") -> None:
    """A new file of the log, and Connect has read everything before it."""
    behind = await_arrival(settings, _PATIENCE_S)
    if behind:
        raise ErasureHeld(behind)
    time.sleep(_LOOK_EVERY_S)
    try:
        _switch(postgres)
    except psycopg.errors.InsufficientPrivilege as error:
        raise _not_allowed(error) from error


def _not_allowed(error: psycopg.Error) -> ErasureHeld:
    return ErasureHeld(
        f"PostgreSQL's write-ahead log cannot be cleared ({str(error).splitlines()[0]}); once, as a superuser, in the "
        f"database of the facts: psql -f {_SUPERUSER_FILE}"
    )


def _await_horizon(postgres: "psycopg.Connection[Any]", older: str, between: Callable[[], None]) -> None:
    """Waits until nobody can see any more what was deleted before now: until then it would be written anew, too."""
    row = postgres.execute("select pg_current_xact_id()::xid::text").fetchone()
    assert row is not None
    deadline = time.monotonic() + _PATIENCE_S
    while found := postgres.execute(older.encode(), {"xid": row[0]}).fetchall():
        if time.monotonic() > deadline:
            raise ErasureHeld(f"still sees what was deleted: {', '.join(str(who) for (who,) in found)}; end it")
        between()
        time.sleep(_LOOK_EVERY_S)


def _written_until(postgres: "psycopg.Connection[Any]", mark: Any) -> int:
    row = postgres.execute("select count(*) from pg_ls_waldir() where modification <= %s", (mark,)).fetchone()
    assert row is not None
    return row[0]


def _is_there(postgres: "psycopg.Connection[Any]", table: str) -> bool:
    """A table or a partition that retention has not dropped meanwhile; a view has no bytes."""
    row = postgres.execute("select 1 from pg_class where oid = to_regclass(%s) and relkind = 'r'", (table,)).fetchone()
    return row is not None


def _vacuum(postgres: "psycopg.Connection[Any]", table: str) -> None:
    name = sql.SQL(".").join(sql.Identifier(part) for part in table.split("."))
    for attempt in range(_TRIES):
        try:
            postgres.execute(sql.SQL("vacuum (full, analyze) {}").format(name))
        except psycopg.errors.UndefinedTable:
            return  # a day that retention has just dropped
        except psycopg.errors.LockNotAvailable as error:
            if attempt == _TRIES - 1:
                raise ErasureHeld(f"{table} could not be locked {_TRIES} times: a transaction on it lasts") from error
        else:
            return


def partitions_of(found: Sequence[dict[str, Any]]) -> list[str]:
    """The partitions named by what the steps `facts` and `outbox` recorded."""
    return sorted({table for each in found for table in each.get("tables", ())})
