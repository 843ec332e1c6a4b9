"""Bringing the stream back: what is broken in its parts (slot, offsets, topic, tables), and the repair of each.

Repairs are safe to repeat. What a repair cannot keep (rows whose write-ahead log is gone, messages of a deleted topic,
a table's content) is sent again by replay.heal, and the ledger proves it.
"""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from neonblue_pipeline import clickhouse as clickhouse_client
from neonblue_pipeline import connector, kafka, ledger, recoveries, restores
from neonblue_pipeline.errors import RecoveryError
from neonblue_pipeline.replay import Healed, heal, replay
from neonblue_pipeline.settings import CONNECTOR, DATABASE, SLOT, TOPIC, Settings
from neonblue_pipeline.sqlfiles import SqlFile, sql_files

if TYPE_CHECKING:
    import httpx

_CREATES = re.compile(
    r"^create\s+(?:table|(?:or\s+replace\s+)?(?:materialized\s+)?view)\s+(?:if\s+not\s+exists\s+)?(\w+)",
    re.MULTILINE | re.IGNORECASE,
)
# A table that is replaced is written anew from itself: another file made it before.
_ALTERS = re.compile(r"^(?:alter|create\s+or\s+replace)\s+table\s+(\w+)", re.MULTILINE | re.IGNORECASE)

# The parts that can be broken.
_SLOT, _TOPIC, TABLES, CONSUMER = "slot", "topic", "tables", "consumer"
# What nothing but the restore itself can repair.
RESTORE = "restore"
# Without a commit for so long a consumer that has messages before it is looked at closely.
_QUIET_S = 60
# Facts are not passed on in the order of their acceptance, and clocks differ. More than this is found by comparing.
_OVERLAP = timedelta(minutes=1)
# A block that is under way is committed within this; where it is not, a new consumer does no harm.
_LOOK_AGAIN_S = 5


@dataclass(frozen=True)
class Problem:
    """One broken part: its name, and what was found in a sentence."""

    part: str
    found: str


def problems(settings: Settings) -> list[Problem]:
    """What is broken now in the parts of the stream, or was and is not whole again. Reads, never writes.

    Raises what the client of a server that is down raises. While a restore is not over that alone is told: what else
    is broken follows from it.
    """
    if restore := _restore_underway(settings):
        return [Problem(RESTORE, restore)]
    found = _broken(settings, _QUIET_S)
    if left := recoveries.broken_off(settings):
        found.append(Problem("recovery", f"a recovery broke off, what it found may still be missing: {left}"))
    return found


def recover(settings: Settings, tell: Callable[[str], None] = lambda _: None) -> Healed:
    """Repairs every part of the stream, then sends again what is missing anywhere. Safe to repeat; one at a time.

    What was accepted since the last event that arrived goes first where slot or topic were lost: to find it by
    comparing takes the longer the more is kept. One that breaks off is a problem until another has come to its end.
    Raises RecoveryError while a restore is not over.
    """
    if restore := _restore_underway(settings):
        raise RecoveryError(restore)
    with recoveries.alone(settings, tell) as recovery:
        broken = {problem.part: problem.found for problem in _broken(settings, 0)}
        arrived = None if TABLES in broken else _newest_arrival(settings)
        if broken:
            recovery.begin("; ".join(broken.values()))
        for found in broken.values():
            tell(f"broken, and being repaired: {found}")
        made = kafka.ensure_topic(settings)
        if TABLES in broken:
            restore_objects(settings)
        elif made or CONSUMER in broken:  # it does not find a topic again that was gone
            restart_consumer(settings)
        if _SLOT in broken:
            give_up_slot(settings)
        connector.register(settings)
        sent = 0
        if arrived is not None and broken:
            since = arrived - _OVERLAP
            sent = replay(settings, since, datetime.now(UTC) + _OVERLAP)
            tell(f"{sent:,} rows accepted since {since:%Y-%m-%d %H:%M:%S} UTC are sent again")
        healed = heal(settings, tell=tell)
        healed.resent += sent
        # What is unequal although all has arrived will not become equal by another recovery.
        if not healed.behind:
            recovery.finish()
    return healed


def _restore_underway(settings: Settings) -> str | None:
    with psycopg.connect(settings.postgres_url, autocommit=True, connect_timeout=5) as postgres:
        return restores.underway(postgres)


def _broken(settings: Settings, quiet_s: float) -> list[Problem]:
    """What is broken now; `quiet_s`: for how long the consumer may have committed nothing before it is looked at."""
    import httpx

    found = []
    with httpx.Client(base_url=settings.connect_url, timeout=10) as connect:
        # A stack that was never set up has nothing that could be broken.
        if connector.status(connect) is not None and (reason := _slot_problem(settings, connect)):
            found.append(Problem(_SLOT, reason))
    if not kafka.end_offsets(settings):
        found.append(Problem(_TOPIC, f"topic {TOPIC} does not exist"))
    if missing := missing_objects(settings):
        found.append(Problem(TABLES, f"ClickHouse's {DATABASE} lacks {', '.join(sorted(missing))}"))
    elif consumer_stands_still(settings, quiet_s):
        found.append(Problem(CONSUMER, "ClickHouse reads nothing although the topic holds messages for it"))
    return found


def _newest_arrival(settings: Settings) -> datetime | None:
    """When the last event that arrived was accepted; UTC."""
    with clickhouse_client.connect(settings, "neonblue_pipeline recovery") as server:
        newest: datetime | None = server.read("newest_facts")[0]["event_accepted_at"]
    return newest


def give_up_slot(settings: Settings) -> None:
    """Takes away the slot, and of a connector that is there its offsets, too, once it has stopped.

    Registered again, it begins with a new slot.
    """
    import httpx

    with httpx.Client(base_url=settings.connect_url, timeout=30) as connect:
        known = connector.status(connect) is not None
        if known:
            connector.stop(connect, settings.connector_timeout_s)
        drop_slot(settings)
        if known:
            connector.request(connect, "DELETE", f"/connectors/{CONNECTOR}/offsets")


def expected_objects(files: tuple[SqlFile, ...]) -> dict[str, str]:
    """Name of each table and view of ClickHouse → the file that makes it."""
    return {name: file.name for file in files for name in _CREATES.findall(file.text)}


def altering_files(files: tuple[SqlFile, ...], names: Iterable[str]) -> list[str]:
    """The files that change one of these tables after another file made it."""
    return [file.name for file in files if not set(names).isdisjoint(_ALTERS.findall(file.text))]


def missing_objects(settings: Settings) -> dict[str, str]:
    """Tables and views that are not there → their files; before the first setup all of them."""
    with clickhouse_client.connect(settings, "neonblue_pipeline recovery", database=None) as server:
        bounds = {"database": DATABASE}
        there = {
            row[0] for row in server.rows("select name from system.tables where database = {database:String}", bounds)
        }
    expected = expected_objects(sql_files("clickhouse"))
    return {name: file for name, file in expected.items() if name not in there}


def restore_objects(settings: Settings) -> None:
    """Makes missing tables and views again, empty and with every later change, with the tap closed meanwhile."""
    if missing := missing_objects(settings):
        _apply_again(settings, sorted({*missing.values(), *altering_files(sql_files("clickhouse"), missing)}))


def consumer_stands_still(settings: Settings, quiet_s: float) -> bool:
    """Whether messages wait while ClickHouse, which has had so long since it began, commits none.

    So it stays when a topic is deleted and made again under it: librdkafka takes its partitions for gone.
    """
    with clickhouse_client.connect(settings, "neonblue_pipeline recovery") as server:
        quiet = server.rows(
            """select least(uptime(), dateDiff('second', max(t.metadata_modification_time), now()),
                            dateDiff('second', max(c.last_commit_time), now()))
               from system.kafka_consumers as c
               inner join system.tables as t on t.database = c.database and t.name = c.table
               where c.database = currentDatabase()"""
        )[0][0]
    if quiet < quiet_s:
        return False
    before = kafka.committed_offsets(settings)
    ends = kafka.end_offsets(settings)
    if any(before.get(p, 0) > end for p, (_, end) in ends.items()):
        return True  # a position in the topic that was there before; a new consumer begins at the first message
    if not any(end > max(before.get(p, 0), begin) for p, (begin, end) in ends.items()):
        return False
    time.sleep(_LOOK_AGAIN_S)
    return kafka.committed_offsets(settings) == before


def restart_consumer(settings: Settings) -> None:
    """Makes the Kafka table and the views behind it again; the consumer group keeps its position."""
    _apply_again(settings, [ledger.KAFKA_TABLE])


def _apply_again(settings: Settings, files: list[str]) -> None:
    with ledger.clickhouse_schema(settings, "neonblue_pipeline recovery") as schema:
        schema.forget(files)
        ledger.apply(schema, [file.rendered(settings.sql_variables) for file in sql_files("clickhouse")])


def _slot_problem(settings: Settings, connect: "httpx.Client") -> str | None:
    """Why the connector cannot read on from where it was; None if it can."""
    with psycopg.connect(settings.postgres_url, autocommit=True, connect_timeout=5) as postgres:
        row = postgres.execute(
            """select wal_status, (confirmed_flush_lsn - '0/0')::bigint
               from pg_replication_slots where slot_name = %s""",
            (SLOT,),
        ).fetchone()
        written = postgres.execute("select (pg_current_wal_lsn() - '0/0')::bigint").fetchone()
    offset = _connect_offset(connect)
    if row is None:
        # A connector that never read anything makes its slot by itself.
        return None if offset is None else f"replication slot '{SLOT}' does not exist any more"
    status, confirmed = row
    if status == "lost":
        return f"replication slot '{SLOT}' is lost: PostgreSQL removed write-ahead log that was not read"
    if offset is not None and written is not None and offset > written[0]:
        return f"Connect's offset {offset} is ahead of PostgreSQL's write-ahead log at {written[0]}"
    if offset is not None and confirmed is not None and confirmed > offset:
        return f"replication slot '{SLOT}' was moved to {confirmed}, past what Connect has read ({offset})"
    return None


def _connect_offset(connect: "httpx.Client") -> int | None:
    """The LSN up to which Connect has passed everything on, as it stored it.

    That of the last row or of the last commit, whichever is later: transactions are read in the order of their commits,
    and the rows of one that began early lie before commits that were read before it.
    """
    answer = connector.request(connect, "GET", f"/connectors/{CONNECTOR}/offsets")
    if answer.status_code == 404:
        return None
    offsets: list[dict[str, Any]] = [entry["offset"] for entry in answer.json()["offsets"] if entry["offset"]]
    return max(int(offsets[0]["lsn"]), int(offsets[0].get("lsn_commit") or 0)) if offsets else None


def drop_slot(settings: Settings) -> None:
    """Drops the slot if it is there. Raises RecoveryError while somebody reads it."""
    with psycopg.connect(settings.postgres_url, autocommit=True) as postgres:
        row = postgres.execute("select active_pid from pg_replication_slots where slot_name = %s", (SLOT,)).fetchone()
        if row is None:
            return
        if row[0] is not None:
            raise RecoveryError(
                f"replication slot '{SLOT}' is still read by process {row[0]} of PostgreSQL although its connector is "
                "stopped: another Connect reads it; stop that, then `neonblue recover`"
            )
        postgres.execute("select pg_drop_replication_slot(%s)", (SLOT,))
