"""What is looked at all the time: each server and each hop of the way. Probes only read, and know no Dagster.

A probe gives its findings: which thing is in trouble, how bad it is and what to do; and the figures that it looked at,
in trouble or not. One that gets no answer tells so with a finding of its own; what it told before is then neither
confirmed nor healed.
"""

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import psycopg
from psycopg.rows import dict_row

from neonblue_pipeline import clickhouse, connector, figures, kafka, recovery, rollup
from neonblue_pipeline.figures import Figure
from neonblue_pipeline.settings import CONNECTOR, SLOT, TOPIC, Settings
from neonblue_pipeline.sqlfiles import read_sql

MIB = 1024 * 1024
# Above these a hop is told as late. The rollups run every minute.
UNREAD_WAL_LIMIT = 256 * MIB
UNREAD_MESSAGES_LIMIT = 100_000
ROLLUP_AGE_LIMIT_S = 300
# A hop with work before it that does not move for so long stands still. A heartbeat moves the slot every ten seconds.
STANDS_STILL_S = 30
OVERDUE_HOURS = 2
_PATIENCE_S = 5
_COMMENT = "neonblue_pipeline probes"
# States of a connector and its task by Kafka Connect's documentation.
_STATES = ("RUNNING", "FAILED", "PAUSED", "STOPPED", "UNASSIGNED", "RESTARTING")
# Experiments that get a figure of their own.
_NAMED = 50
# A server that is stopped accepts connections and never answers.
DEADLINE_S = 8
_NEW_SLOT = "`neonblue recover` makes a new one and sends again what lies between; the job `recover` does it by itself"


@dataclass(frozen=True)
class Finding:
    """One trouble: `key` is the same at every look, `how_bad` is what was measured now.

    What stands behind a colon in the key is the one of many things that is in trouble, as an experiment.
    """

    key: str
    what: str
    how_bad: str
    cure: str
    serious: bool = True


@dataclass
class Positions:
    """Where each hop was, and since when it has not moved (unix time); what a caller keeps between two looks."""

    known: dict[str, list[Any]] = field(default_factory=dict)

    def still_s(self, hop: str, position: str, now: float) -> float:
        """For how many seconds the hop has been at this position."""
        if self.known.get(hop, [None])[0] != position:
            self.known[hop] = [position, now]
        return now - float(self.known[hop][1])


@dataclass(frozen=True)
class Probe:
    """A look at one hop; `check` is the name of its asset check on `asset`, `server` who is asked.

    `finds` are the keys of all that it may find, without what stands behind a colon.
    """

    check: str
    asset: str
    server: str
    look: Callable[[Settings, Positions], "Told"]
    finds: tuple[str, ...]


Told = list[Finding | Figure]


@dataclass(frozen=True)
class Seen:
    """What one probe found; `answered` is false if it could not look."""

    probe: Probe
    findings: list[Finding]
    answered: bool
    figures: list[Figure] = field(default_factory=list)


def look(settings: Settings, positions: Positions, deadline_s: float = DEADLINE_S) -> list[Seen]:
    """Every probe at once, each for at most `deadline_s`."""
    seen: dict[str, Seen] = {}

    def ask(probe: Probe) -> None:
        try:
            told = probe.look(settings, positions)
            findings = [one for one in told if isinstance(one, Finding)]
            found = Seen(probe, findings, True, [one for one in told if isinstance(one, Figure)])
        # Whatever a client raises is what there is to tell.
        except Exception as error:  # noqa: BLE001
            found = Seen(probe, [_silent(probe, (str(error).strip().splitlines() or [repr(error)])[0][:300])], False)
        seen[probe.check] = found

    threads = [threading.Thread(target=ask, args=(probe,), daemon=True) for probe in PROBES]
    deadline = time.monotonic() + deadline_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = {p.check: Seen(p, [_silent(p, f"no answer within {deadline_s:.0f} s")], False) for p in PROBES}
    return [seen.get(probe.check, late[probe.check]) for probe in PROBES]


def _silent(probe: Probe, error: str) -> Finding:
    return Finding(
        f"{probe.server} silent",
        f"{probe.server} does not answer as it should",
        error,
        "`neonblue status` shows each stage with its log; a part that was killed is started again by itself",
    )


@cache
def _authorities() -> ssl.SSLContext:
    """The system's certificates, or those of SSL_CERT_FILE."""
    return ssl.create_default_context()


def _api(settings: Settings, positions: Positions) -> Told:
    import httpx

    if not settings.api_url:
        return []
    answer = httpx.get(f"{settings.api_url}/readyz", timeout=_PATIENCE_S, trust_env=False, verify=_authorities())
    if answer.status_code == 200:
        return []
    return [
        Finding(
            "api not ready",
            "the API refuses events",
            f"/readyz: {answer.status_code} {answer.text[:200]}",
            "the reply names what it waits for; clients keep their events and send them again",
        )
    ]


def _slot(settings: Settings, positions: Positions) -> Told:
    with psycopg.connect(settings.postgres_url, autocommit=True, connect_timeout=_PATIENCE_S) as postgres:
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


def _connector(settings: Settings, positions: Positions) -> Told:
    import httpx

    options: dict[str, Any] = {"timeout": _PATIENCE_S, "trust_env": False, "verify": _authorities()}
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


def _topic(settings: Settings, positions: Positions) -> Told:
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


def _tables(settings: Settings, positions: Positions) -> Told:
    missing = recovery.missing_objects(settings)
    if not missing:
        with clickhouse.connect(settings, _COMMENT, patience_s=_PATIENCE_S) as server:
            row = server.read("newest_facts")[0]
        return [
            figures.LANDED_OUTBOX_ID.at(row["outbox_id"]),
            figures.NEWEST_LANDED.at(_unix(row["landed_at"])),
            figures.NEWEST_EVENT.at(_unix(row["event_accepted_at"])),
        ]
    cure = "`neonblue recover` makes them again and fills them; the job `recover` does it by itself"
    return [Finding("tables missing", "ClickHouse lacks tables or views", ", ".join(sorted(missing)), cure)]


def _dead_letters(settings: Settings, positions: Positions) -> Told:
    with clickhouse.connect(settings, _COMMENT, patience_s=_PATIENCE_S) as server:
        row = server.read("open_dead_letters")[0]
    if not row["messages"]:
        return [figures.DEAD_LETTERS.at(0)]
    return [
        figures.DEAD_LETTERS.at(row["messages"]),
        Finding(
            "dead letters",
            "messages could not be read",
            f"{row['messages']:,} since {row['oldest_at']:%Y-%m-%d %H:%M:%S} UTC, most: {row['reason']}",
            "`neonblue dead-letters` lists them; `--replay` sends them again after a fix, `--discard` gives them up",
        ),
    ]


def _rollups(settings: Settings, positions: Positions) -> Told:
    with clickhouse.connect(settings, _COMMENT, patience_s=_PATIENCE_S) as server:
        oldest = server.read("pending_rollups")[0]["oldest_at"]
        built = server.read("rollups_built", tables=[*rollup.BY_DAY, *rollup.OF_USERS, rollup.SUMMARY])
        cutoff = server.read("newest_cutoff")[0]["cutoff_at"]
    age = (datetime.now(UTC) - oldest.astimezone(UTC)).total_seconds() if oldest else 0
    found: Told = [figures.ROLLUP_WAITING.at(max(age, 0)), figures.RESULTS_CUTOFF.at(_unix(cutoff))]
    found += [figures.ROLLUP_BUILT.at(_unix(row["built_at"]), row["rollup"]) for row in built]
    if age <= ROLLUP_AGE_LIMIT_S:
        return found
    cure = "see the last runs of the job `live` in Dagster"
    how_bad = f"changes of {age:,.0f} s ago are not in the results (limit {ROLLUP_AGE_LIMIT_S:,} s)"
    return [*found, Finding("rollup age", "the rollups are behind", how_bad, cure)]


def _ledger(settings: Settings, positions: Positions) -> Told:
    query = read_sql("read/ledger_gaps").encode()
    with psycopg.connect(settings.postgres_url, autocommit=True, connect_timeout=_PATIENCE_S) as postgres:
        postgres.execute("set statement_timeout = '5s'")
        row = postgres.cursor(row_factory=dict_row).execute(query, {"overdue_hours": OVERDUE_HOURS}).fetchone()
    assert row is not None
    found: Told = [figures.GAPS.at(row["unequal"]), figures.GAP_ROWS.at(row["rows"])]
    if row["compared_until"]:
        found.append(figures.COMPARED_UNTIL.at(_unix(row["compared_until"])))
    if row["unequal"]:
        found.append(
            Finding(
                "reconciliation gap",
                f"{row['unequal']:,} windows are not proven, the first from {row['first_start']:%Y-%m-%d %H:%M} UTC on",
                f"{row['rows']:,} facts differ between PostgreSQL and ClickHouse",
                "`neonblue verify` names the ids, `neonblue replay` sends them again; the hourly run does both",
            )
        )
    if row["overdue"]:
        last = f"{row['compared_until']:%Y-%m-%d %H:%M} UTC" if row["compared_until"] else "never"
        cure = "see the last runs of the job `hourly` in Dagster"
        told = f"compared last up to: {last}"
        found.append(
            Finding("proof overdue", f"facts older than {OVERDUE_HOURS} hours have not been proven", told, cure)
        )
    return found


def _splits(settings: Settings, positions: Positions) -> Told:
    with clickhouse.connect(settings, _COMMENT, patience_s=_PATIENCE_S) as server:
        rows = server.read("mismatched_splits")
    found: Told = [figures.MISMATCHED.at(len(rows))]
    found += [figures.MISMATCH.at(row["p_value"], row["experiment"]) for row in rows[:_NAMED]]
    found += [
        Finding(
            f"sample ratio: {row['experiment']}",
            f"experiment '{row['experiment']}': users are not split as planned (sample ratio mismatch)",
            f"p = {row['p_value']:.2g}; users: {', '.join(f'{k} {n:,}' for k, n in sorted(row['users'].items()))}",
            "do not decide on its results; compare assignment and exposure code of the variants, then start it anew",
            serious=False,
        )
        for row in rows
    ]
    return found


def _unix(moment: datetime | None) -> float:
    """Unix time; 0 where there was nothing yet. ClickHouse's client gives UTC without saying so."""
    if moment is None:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


PROBES = (
    Probe("api_is_ready", "intake", "the API", _api, ("api not ready",)),
    Probe(
        "slot_is_read",
        "outbox_events",
        "PostgreSQL",
        _slot,
        ("slot missing", "slot lost", "slot unread", "slot stands still", "unread wal"),
    ),
    Probe(
        "connector_runs",
        "connector",
        "Kafka Connect",
        _connector,
        ("connector missing", "connector failed", "connector stopped"),
    ),
    Probe("topic_is_read", "landing", "Kafka", _topic, ("topic missing", "topic stands still", "unread messages")),
    Probe("tables_are_there", "events_processed", "ClickHouse", _tables, ("tables missing",)),
    Probe("every_message_is_read", "dead_letters", "ClickHouse", _dead_letters, ("dead letters",)),
    Probe("rollups_are_fresh", "user_rollup", "ClickHouse", _rollups, ("rollup age",)),
    Probe("every_window_is_proven", "reconciliation", "PostgreSQL", _ledger, ("reconciliation gap", "proof overdue")),
    Probe("users_are_split_as_planned", "experiment_quality", "ClickHouse", _splits, ("sample ratio",)),
)
