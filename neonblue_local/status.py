"""The stages of an event's way, each asked where it stands and how far behind it is.

Works on the embedded stack and on a user's own servers alike: every question goes through an ordinary client with an
address from the settings.
"""

import json
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neonblue_local import http
from neonblue_local.home import Home
from neonblue_local.parts import NotReady
from neonblue_local.parts.dagster import graphql

if TYPE_CHECKING:
    from neonblue_pipeline.settings import Settings as PipelineSettings

_PATIENCE_SECONDS = 5

_DAGSTER = """
query {
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } }
  active: runsOrError(filter: {statuses: [QUEUED, STARTING, STARTED]}) { ... on Runs { count } }
  last: runsOrError(limit: 1) { ... on Runs { results { jobName status } } }
}
"""


@dataclass(frozen=True)
class Stage:
    """One stage of the way; `lag` is in `unit` and null where nothing can lag or nothing was measured."""

    stage: str
    ok: bool
    detail: str
    lag: float | None = None
    unit: str | None = None
    log: str | None = None


@dataclass(frozen=True)
class _Answer:
    detail: str
    lag: float | None = None
    unit: str | None = None
    ok: bool = True


Settings = Mapping[str, str]


def stages(home: Home, settings: Settings) -> list[Stage]:
    """Every stage in the order of the way. A stage that does not answer is not ok and says why; nothing is raised."""
    questions: list[tuple[str, str, Callable[[Settings], _Answer]]] = [
        ("API", "api", _api),
        ("PostgreSQL outbox", "postgres", _outbox),
        ("replication slot", "postgres", _slot),
        ("Kafka Connect", "connect", _connector),
        ("Kafka topic", "kafka", _topic),
        ("ClickHouse consumer", "clickhouse", _consumer),
        ("events_processed", "clickhouse", _freshness),
        ("rollups", "dagster-daemon", _rollups),
        ("Dagster", "dagster-webserver", _dagster),
    ]

    def ask(question: tuple[str, str, Callable[[Settings], _Answer]]) -> Stage:
        name, part, function = question
        log = home.log_file(part)
        path = str(log) if log.is_file() else None
        try:
            answer = function(settings)
        # The screen of a person who looks for what is broken: whatever a client raises belongs on it.
        except Exception as error:  # noqa: BLE001
            return Stage(name, False, f"does not answer: {_first_line(error)}", log=path)
        return Stage(name, answer.ok, answer.detail, answer.lag, answer.unit, path)

    with ThreadPoolExecutor(len(questions)) as pool:
        return list(pool.map(ask, questions))


def _api(settings: Settings) -> _Answer:
    status, text = http.request(f"{settings['NEONBLUE_API_URL']}/readyz", timeout=_PATIENCE_SECONDS)
    if status != 200:
        return _Answer(f"/readyz: {status} {text[:200]}", ok=False)
    disk = json.loads(text)["disk"]
    if disk and disk["facts_are_refused"]:
        return _Answer(f"refuses facts: PostgreSQL's disk has {disk['free_bytes']:,} bytes free", ok=False)
    return _Answer("ready")


def _outbox(settings: Settings) -> _Answer:
    import psycopg

    with _postgres(settings) as connection:
        try:
            row = connection.execute("select count(*), max(created_at) from outbox_log").fetchone()
            assert row is not None
            return _Answer(f"{row[0]:,} rows, newest {_time(row[1])}")
        except psycopg.errors.QueryCanceled:
            # Partitions alone: their parent's estimate is that of all of them. One that was never analysed has -1.
            # pg_partition_tree would wait for whoever holds a lock on one of them.
            query = """
                select sum(greatest(reltuples, 0)) from pg_class
                where oid in (select inhrelid from pg_inherits where inhparent = 'outbox_log'::regclass)
            """
            row = connection.execute(query).fetchone()
            assert row is not None
            return _Answer(f"about {int(row[0] or 0):,} rows")


def _slot(settings: Settings) -> _Answer:
    query = """
        select slot_name, active, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)
        from pg_replication_slots where slot_type = 'logical' and database = current_database() order by slot_name
    """
    with _postgres(settings) as connection:
        rows = connection.execute(query).fetchall()
    if not rows:
        return _Answer("no logical slot; `neonblue up` registers the connector, which makes it", ok=False)
    detail = ", ".join(f"{name} {'active' if active else 'NOT READ'} ({status})" for name, active, status, _ in rows)
    ok = all(active and status in ("reserved", "extended") for _, active, status, _ in rows)
    return _Answer(detail, float(max(row[3] for row in rows)), "bytes of unread WAL", ok)


def _connector(settings: Settings) -> _Answer:
    url = f"{settings['NEONBLUE_CONNECT_URL']}/connectors?expand=status"
    status, text = http.request(url, timeout=_PATIENCE_SECONDS)
    if status != 200:
        return _Answer(f"GET /connectors: {status} {text[:200]}", ok=False)
    connectors = {name: found["status"] for name, found in json.loads(text).items()}
    if not connectors:
        return _Answer("no connector is registered; `neonblue up` does it", ok=False)
    said = []
    for name, found in connectors.items():
        states = [found["connector"], *found["tasks"]]
        said.append(f"{name} {found['connector']['state']}, tasks {[task['state'] for task in found['tasks']]}")
        said += [state["trace"].splitlines()[0] for state in states if state.get("trace")]
        if not found["tasks"]:
            said.append("it has no task")
    running = all(
        found["tasks"] and all(state["state"] == "RUNNING" for state in (found["connector"], *found["tasks"]))
        for found in connectors.values()
    )
    return _Answer("; ".join(said), ok=running)


def _topic(settings: Settings) -> _Answer:
    from neonblue_pipeline import kafka
    from neonblue_pipeline.settings import TOPIC

    _reach_broker(settings)
    ends = [end for _, end in kafka.end_offsets(_pipeline_settings(settings)).values()]
    if not ends:
        return _Answer(f"topic {TOPIC} is not there; `neonblue up` creates it", ok=False)
    return _Answer(f"{sum(ends):,} messages; end offsets {', '.join(map(str, ends))}")


def _consumer(settings: Settings) -> _Answer:
    from neonblue_pipeline import kafka
    from neonblue_pipeline.settings import CONSUMER_GROUP

    _reach_broker(settings)
    lag = kafka.lag(_pipeline_settings(settings))
    return _Answer(f"group {CONSUMER_GROUP}, {len(lag)} partitions", float(sum(lag.values())), "messages")


def _freshness(settings: Settings) -> _Answer:
    # Only the last day is read: the newest event is asked for, not the number of all.
    query = """
        select count() as events, max(created_at) as newest, dateDiff('millisecond', newest, now64(3)) / 1000 as age
        from events_processed where created_at > now() - interval 1 day
    """
    row = _clickhouse(settings, query)[0]
    if int(row["events"]) == 0:
        return _Answer("no event accepted within the last day")
    detail = f"{int(row['events']):,} events of the last day, newest {row['newest']}"
    return _Answer(detail, round(row["age"], 1), "s since the newest")


def _rollups(settings: Settings) -> _Answer:
    marks = _clickhouse(
        settings,
        """
        select count() as marks, uniqExact(day) as days, dateDiff('second', min(marked_at), now64(6)) as age
        from dirty_days
        """,
    )[0]
    newest = _clickhouse(settings, "select count() as n, max(cutoff_at) as cutoff from experiment_results_rows")[0]
    known = f"results up to {newest['cutoff']}" if int(newest["n"]) else "no results yet"
    if int(marks["marks"]) == 0:
        return _Answer(f"nothing waits; {known}", 0.0, "s")
    return _Answer(f"{marks['days']} days wait to be rebuilt; {known}", float(marks["age"]), "s")


def _dagster(settings: Settings) -> _Answer:
    data = graphql(settings, _DAGSTER)
    ill = [
        status["daemonType"]
        for status in data["instance"]["daemonHealth"]["allDaemonStatuses"]
        if status["required"] and not status["healthy"]
    ]
    last = data["last"]["results"]
    said = f"{data['active']['count']} runs at work"
    said += f", last: {last[0]['jobName']} {last[0]['status']}" if last else ", none yet"
    return _Answer(f"daemons without heartbeat: {', '.join(ill)}; {said}" if ill else said, ok=not ill)


def _pipeline_settings(settings: Settings) -> "PipelineSettings":
    """Addresses are those of `settings`; the environment says the rest, as how Kafka is spoken to."""
    from neonblue_pipeline.settings import read_settings

    names = ("postgres_url", "clickhouse_url", "kafka_bootstrap", "connect_url")
    return read_settings(**{name: settings[f"NEONBLUE_{name.upper()}"] for name in names})


def _reach_broker(settings: Settings) -> None:
    """Raises OSError when no broker listens: the client would try for half a minute."""
    errors: list[OSError] = []
    for address in settings["NEONBLUE_KAFKA_BOOTSTRAP"].split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_PATIENCE_SECONDS).close()
        except OSError as error:
            errors.append(error)
        else:
            return
    raise errors[0]


def _postgres(settings: Settings) -> Any:
    import psycopg

    url = settings["NEONBLUE_POSTGRES_URL"]
    connection = psycopg.connect(url, autocommit=True, connect_timeout=_PATIENCE_SECONDS)
    # Not as an option of the connection: it would replace those of the address, and poolers refuse it.
    connection.execute("set statement_timeout = '3s'")
    return connection


def _clickhouse(settings: Settings, query: str) -> list[dict[str, Any]]:
    from neonblue_pipeline.settings import DATABASE

    url = f"{settings['NEONBLUE_CLICKHOUSE_URL']}/?database={DATABASE}"
    status, text = http.request(url, body=f"{query} format JSON".encode(), timeout=_PATIENCE_SECONDS)
    if status != 200:
        raise NotReady(text[:300])
    rows: list[dict[str, Any]] = json.loads(text)["data"]
    return rows


def _time(value: Any) -> str:
    return "never" if value is None else f"{value:%Y-%m-%d %H:%M:%S}Z"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [repr(error)])[0][:300]
