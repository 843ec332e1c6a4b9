"""The servers and the hops between them: API, slot, connector, topic, tables."""

import ssl
import time
from functools import cache
from typing import Any

import psycopg

from neonblue_pipeline import clickhouse, connector, figures, kafka, recovery
from neonblue_pipeline.probes.probe import COMMENT, PATIENCE_S, Finding, Positions, Told, unix
from neonblue_pipeline.settings import CONNECTOR, SLOT, TOPIC, Settings
from neonblue_pipeline.sqlfiles import read_sql

MIB = 1024 * 1024
# Above these a hop is told as late.
UNREAD_WAL_LIMIT = 256 * MIB
UNREAD_MESSAGES_LIMIT = 100_000
# Told while there is time: this often what is kept free.
DISK_FILLS_AT = 4
# A hop with work before it that does not move for so long stands still. A heartbeat moves the slot every ten seconds.
STANDS_STILL_S = 30
# States of a connector and its task by Kafka Connect's documentation.
_STATES = ("RUNNING", "FAILED", "PAUSED", "STOPPED", "UNASSIGNED", "RESTARTING")
_NEW_SLOT = "`neonblue recover` makes a new one and sends again what lies between; the job `recover` does it by itself"


@cache
def _authorities() -> ssl.SSLContext:
    """The system's certificates, or those of SSL_CERT_FILE."""
    return ssl.create_default_context()


def api(settings: Settings, positions: Positions) -> Told:
    import httpx

    if not settings.api_url:
        return []
    answer = httpx.get(f"{settings.api_url}/readyz", timeout=PATIENCE_S, trust_env=False, verify=_authorities())
    if answer.status_code == 200:
        return _disk(answer.json().get("disk"))
    return [
        Finding(
            "api not ready",
            "the API refuses events",
            f"/readyz: {answer.status_code} {answer.text[:200]}",
            "the reply names what it waits for; clients keep their events and send them again",
        )
    ]


def _disk(state: dict[str, Any] | None) -> Told:
    """Of PostgreSQL's disk what the API says, which alone knows its limit and whether it refuses facts just now."""
    if state is None:
        return []
    free, kept_free = state["free_bytes"], state["kept_free_bytes"]
    found: Told = [figures.FREE_DISK.at(free)]
    how_bad = f"{free / MIB:,.0f} MiB free; below {kept_free / MIB:,.0f} MiB facts are refused"
    if state["facts_are_refused"]:
        what = "PostgreSQL's disk is nearly full: events and assignments are refused"
        cure = "make room: a larger volume; or a smaller NEONBLUE_OUTBOX_KEEP_DAYS, then `neonblue prune`"
        found.append(Finding("disk nearly full", what, how_bad, cure))
    elif free < DISK_FILLS_AT * kept_free:
        cure = "a larger volume, or fewer days kept (docs/privacy.md); if write-ahead log grows, see the slot's alarms"
        found.append(Finding("disk fills", "PostgreSQL's disk fills", how_bad, cure, serious=False))
    return found


def slot(settings: Settings, positions: Positions) -> Told:
    with psycopg.connect(settings.postgres_url, autocommit=True, connect_timeout=PATIENCE_S) as postgres:
        postgres.execute("set statement_timeout = '5s'")
        row = postgres.execute(read_sql("read/unread_wal").encode(), {"slot": SLOT}).fetchone()
        confirmed = postgres.execute(
            "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = %s", (SLOT,)
        ).fetchone()
        last_id = postgres.execute(read_sql("read/outbox_last_id").encode()).fetchone()
    assert last_id is not None
    found: Told = [figures.LAST_OUTBOX_ID.at(last_id[0]), figures.SLOT_ACTIVE.at(bool(row and row[0]))]
    if row is None or confirmed is None:
        what = f"replication slot '{SLOT}' does not exist"
        return [*found, Finding("slot missing", what, "nothing is streamed", _NEW_SLOT)]
    active, wal_status, unread, kept, safe = row
    found += [figures.UNREAD_WAL.at(unread or 0), figures.KEPT_WAL.at(kept or 0)]
    if safe is not None:
        found.append(figures.SAFE_WAL.at(safe))
    if wal_status == "lost":
        found.append(
            Finding(
                "slot lost",
                f"replication slot '{SLOT}' is lost: PostgreSQL removed write-ahead log that was not read",
                "nothing is streamed",
                _NEW_SLOT,
            )
        )
    still = positions.still_s("slot", confirmed[0], time.time())
    if not active:
        cure = "see the connector's state and Kafka Connect's log; the job `repair` starts a failed task again"
        found.append(
            Finding("slot unread", f"nobody reads replication slot '{SLOT}'", f"{unread:,} bytes of WAL wait", cure)
        )
    elif unread and still > STANDS_STILL_S:
        found.append(
            Finding(
                "slot stands still",
                f"replication slot '{SLOT}' is read, but its position does not move",
                f"for {still:.0f} s; {unread:,} bytes of WAL wait",
                "Kafka Connect hangs or Kafka takes nothing: see their logs, restart Kafka Connect",
            )
        )
    if unread > UNREAD_WAL_LIMIT:
        found.append(
            Finding(
                "unread wal",
                "write-ahead log that the connector has not read grows",
                f"{unread / MIB:,.0f} MiB (limit {UNREAD_WAL_LIMIT / MIB:,.0f} MiB)",
                "Kafka Connect or Kafka is slow or down: see their logs. PostgreSQL keeps it until "
                "max_slot_wal_keep_size, then the slot is lost",
            )
        )
    return found


def tasks(settings: Settings, positions: Positions) -> Told:
    import httpx

    options: dict[str, Any] = {"timeout": PATIENCE_S, "trust_env": False, "verify": _authorities()}
    with httpx.Client(base_url=settings.connect_url, **options) as connect:
        answer = connect.get(f"/connectors/{CONNECTOR}/status")
    if answer.status_code == 404:
        cure = "`neonblue up` or the job `setup` registers it"
        return [Finding("connector missing", f"connector '{CONNECTOR}' is not registered", "nothing is streamed", cure)]
    answer.raise_for_status()
    state = answer.json()
    states = [state["connector"]["state"], *(task["state"] for task in state["tasks"])]
    found: Told = [figures.TASKS.at(states[:1].count(name), "connector", name) for name in _STATES]
    found += [figures.TASKS.at(states[1:].count(name), "task", name) for name in _STATES]
    if failure := connector.task_failure(state):
        cure = "the job `repair` restarts it every five minutes; Kafka Connect's log has the whole trace"
        what = f"connector '{CONNECTOR}' or its task is FAILED"
        return [*found, Finding("connector failed", what, failure[:300], cure)]
    if len(states) < 2 or set(states) != {"RUNNING"}:
        told = f"connector {states[0]}, tasks {', '.join(states[1:]) or 'none'}"
        cure = f"resume it: PUT /connectors/{CONNECTOR}/resume, or materialise the asset `connector`"
        return [*found, Finding("connector stopped", f"connector '{CONNECTOR}' does not run", told, cure)]
    return found


def topic(settings: Settings, positions: Positions) -> Told:
    ends = kafka.end_offsets(settings)
    if not ends:
        cure = "`neonblue recover` makes it again and fills it from the outbox; the job `recover` does it by itself"
        return [Finding("topic missing", f"topic {TOPIC} does not exist", "nothing is streamed", cure)]
    committed = kafka.committed_offsets(settings)
    waiting = {p: max(end - max(committed.get(p, 0), begin), 0) for p, (begin, end) in ends.items()}
    unread = sum(waiting.values())
    still = positions.still_s("topic", repr(sorted(committed.items())), time.time())
    found: Told = [figures.UNREAD_MESSAGES.at(count, str(number)) for number, count in waiting.items()]
    if unread and still > STANDS_STILL_S:
        found.append(
            Finding(
                "topic stands still",
                "ClickHouse reads nothing from the topic",
                f"for {still:.0f} s; {unread:,} messages wait",
                "see ClickHouse's log; `neonblue verify` tells what is missing, `neonblue recover` makes the tap again",
            )
        )
    if unread > UNREAD_MESSAGES_LIMIT:
        found.append(
            Finding(
                "unread messages",
                "ClickHouse is behind the topic",
                f"{unread:,} messages (limit {UNREAD_MESSAGES_LIMIT:,})",
                "it catches up by itself when it is faster than intake; see its log and the load of its machine",
            )
        )
    return found


def tables(settings: Settings, positions: Positions) -> Told:
    missing = recovery.missing_objects(settings)
    if not missing:
        with clickhouse.connect(settings, COMMENT, patience_s=PATIENCE_S) as server:
            row = server.read("newest_facts")[0]
        return [
            figures.LANDED_OUTBOX_ID.at(row["outbox_id"]),
            figures.NEWEST_LANDED.at(unix(row["landed_at"])),
            figures.NEWEST_EVENT.at(unix(row["event_accepted_at"])),
        ]
    cure = "`neonblue recover` makes them again and fills them; the job `recover` does it by itself"
    return [Finding("tables missing", "ClickHouse lacks tables or views", ", ".join(sorted(missing)), cure)]
