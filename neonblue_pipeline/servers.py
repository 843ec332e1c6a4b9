"""What the servers have to be, and whether they are: asked before setup, and by `neonblue doctor`. Only reads."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from neonblue_pipeline.clickhouse import plain_client
from neonblue_pipeline.settings import DATABASE, SLOT, TOPIC, Settings
from neonblue_pipeline.sqlfiles import read_sql

# Near what all was measured with; older ones may do, but nobody has seen it. PostgreSQL's: sql/read/unfit_postgres.sql.
LEAST_KAFKA = (4, 0)
LEAST_CLICKHOUSE = (26, 1)
LEAST_CONNECT = (4, 0)
LEAST_DEBEZIUM = (3, 6)
DEBEZIUM = "io.debezium.connector.postgresql.PostgresConnector"
# Clocks that differ by more make times of assignment, events and windows contradict each other.
MOST_SKEW_S = 2.0
_PATIENCE_S = 5


@dataclass(frozen=True)
class Unfit:
    """Something that has to be put right: `setting` names the server; `needed` if nothing works without it."""

    setting: str
    what: str
    remedy: str
    needed: bool = True

    def __str__(self) -> str:
        return f"{self.setting}: {self.what}; {self.remedy}"


@dataclass(frozen=True)
class Looked:
    """A server that was looked at: in a few words what was found, and what does not fit."""

    server: str
    found: str
    unfit: list[Unfit]


def look(settings: Settings) -> list[Looked]:
    """Every server at once, each for a few seconds at most."""
    asked: dict[str, tuple[str, Callable[[Settings], Looked]]] = {
        "PostgreSQL": ("NEONBLUE_POSTGRES_URL", postgres),
        "Kafka": ("NEONBLUE_KAFKA_BOOTSTRAP", kafka),
        "Kafka Connect": ("NEONBLUE_CONNECT_URL", connect),
        "ClickHouse": ("NEONBLUE_CLICKHOUSE_URL", clickhouse),
    }

    def one(server: str) -> Looked:
        setting, ask = asked[server]
        try:
            return ask(settings)
        # Whatever a client raises is what there is to tell.
        except Exception as error:  # noqa: BLE001
            said = (str(error).strip().splitlines() or [repr(error)])[0][:300]
            remedy = "start the server, or correct the address, user and password in the setting"
            return Looked(server, "", [Unfit(setting, f"{server} does not answer as it should ({said})", remedy)])

    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(one, asked))


def skew(setting: str, server: str, theirs: float, before: float, after: float) -> list[Unfit]:
    """What is wrong if the server told its time between `before` and `after` of our clock; unix seconds."""
    apart = max(before - theirs, theirs - after, 0.0)
    if apart <= MOST_SKEW_S:
        return []
    told = f"the clock of {server} is {apart:,.1f} s {'behind' if theirs < before else 'ahead of'} this machine's"
    return [Unfit(setting, told, f"let both follow a time server; {MOST_SKEW_S:g} s are allowed", needed=False)]


def postgres(settings: Settings, least_version: int | None = None, now: Callable[[], float] = time.time) -> Looked:
    import psycopg

    setting = "NEONBLUE_POSTGRES_URL"
    with psycopg.connect(settings.postgres_url, autocommit=True, connect_timeout=_PATIENCE_S) as connection:
        connection.execute(f"set statement_timeout = '{_PATIENCE_S}s'")
        rows = connection.execute(
            read_sql("read/unfit_postgres").encode(), {"least_version": least_version, "slot": SLOT}
        ).fetchall()
        before = now()
        row = connection.execute(
            """select extract(epoch from clock_timestamp())::float8, current_setting('server_version'),
                      has_schema_privilege('public', 'create')"""
        ).fetchone()
        after = now()
    assert row is not None
    theirs, version, may_create = row
    unfit = [Unfit(setting, f"PostgreSQL's {what} is {found}", remedy, needed) for what, found, remedy, needed in rows]
    if not may_create:
        grant = "grant create on schema public to it, or make it the owner of the database"
        unfit.append(Unfit(setting, "the role may not create tables", grant))
    return Looked("PostgreSQL", f"version {version}", unfit + skew(setting, "PostgreSQL", float(theirs), before, after))


def kafka(settings: Settings, least_version: tuple[int, int] = LEAST_KAFKA) -> Looked:
    from kafka import KafkaAdminClient

    setting = "NEONBLUE_KAFKA_BOOTSTRAP"
    client = KafkaAdminClient(
        **settings.kafka_client,
        client_id="neonblue_servers",
        bootstrap_timeout_ms=_PATIENCE_S * 1000,
        request_timeout_ms=_PATIENCE_S * 1000,
    )
    try:
        cluster = client.describe_cluster()
        # The protocol tells no version, only what a broker can do: the client knows from when on that is.
        version = min(client.get_broker_version_data(one["broker_id"]).broker_version for one in cluster["brokers"])
        topics = {found["name"]: found for found in client.describe_topics([TOPIC]) if not found["error_code"]}
    finally:
        client.close()
    unfit = []
    if version < least_version:
        need = ".".join(map(str, least_version))
        unfit.append(
            Unfit(setting, f"the brokers are of Kafka {'.'.join(map(str, version))}", f"upgrade to {need} or newer")
        )
    brokers = len(cluster["brokers"])
    if brokers < settings.kafka_replication:
        unfit.append(
            Unfit(
                "NEONBLUE_KAFKA_REPLICATION",
                f"it is {settings.kafka_replication}, and Kafka has {brokers} brokers",
                f"set it to at most {brokers}, or add brokers",
            )
        )
    if TOPIC in topics and len(topics[TOPIC]["partitions"]) != settings.kafka_partitions:
        told = f"it is {settings.kafka_partitions}, and the topic has {len(topics[TOPIC]['partitions'])} partitions"
        remedy = "set it to what the topic has; docs/operations.md says how to change the number"
        unfit.append(Unfit("NEONBLUE_KAFKA_PARTITIONS", told, remedy, needed=False))
    told = f"topic with {len(topics[TOPIC]['partitions'])} partitions" if TOPIC in topics else "no topic yet"
    return Looked("Kafka", f"version {'.'.join(map(str, version))} or newer, {brokers} brokers, {told}", unfit)


def connect(settings: Settings) -> Looked:
    setting = "NEONBLUE_CONNECT_URL"
    version = str(_json(settings.connect_url)["version"])
    plugins = {found["class"]: found.get("version", "") for found in _json(f"{settings.connect_url}/connector-plugins")}
    unfit = []
    if _numbers(version) < LEAST_CONNECT:
        need = ".".join(map(str, LEAST_CONNECT))
        unfit.append(Unfit(setting, f"Kafka Connect is of version {version}", f"upgrade it to {need} or newer"))
    if DEBEZIUM not in plugins:
        remedy = "put debezium-connector-postgres into its plugin.path, or on its class path, and restart it"
        unfit.append(Unfit(setting, "Kafka Connect has no connector of Debezium for PostgreSQL", remedy))
    elif _numbers(plugins[DEBEZIUM]) < LEAST_DEBEZIUM:
        need = ".".join(map(str, LEAST_DEBEZIUM))
        unfit.append(Unfit(setting, f"Debezium is of version {plugins[DEBEZIUM]}", f"upgrade it to {need} or newer"))
    return Looked("Kafka Connect", f"version {version}, Debezium {plugins.get(DEBEZIUM, 'missing')}", unfit)


def clickhouse(
    settings: Settings, least_version: tuple[int, int] = LEAST_CLICKHOUSE, now: Callable[[], float] = time.time
) -> Looked:
    setting = "NEONBLUE_CLICKHOUSE_URL"
    client = plain_client(
        settings, None, connect_timeout=_PATIENCE_S, send_receive_timeout=_PATIENCE_S, query_retries=0
    )
    try:
        before = now()
        version, theirs, has_kafka = client.query(
            """select version(), toUnixTimestamp64Micro(now64(6)) / 1e6,
                      (select count() from system.table_engines where name = 'Kafka')"""
        ).result_rows[0]
        after = now()
    finally:
        client.close()
    unfit = []
    if _numbers(version) < least_version:
        need = ".".join(map(str, least_version))
        unfit.append(Unfit(setting, f"ClickHouse is of version {version}", f"upgrade it to {need} or newer"))
    if not has_kafka:
        unfit.append(Unfit(setting, "ClickHouse has no Kafka engine", "use the official build, which has it"))
    return Looked(
        "ClickHouse",
        f"version {version}, database {DATABASE}",
        unfit + skew(setting, "ClickHouse", theirs, before, after),
    )


def _json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=_PATIENCE_S) as answer:  # noqa: S310 - the operator's own setting
        return json.load(answer)


def _numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a version: 3.7.0.Final → (3, 7)."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
