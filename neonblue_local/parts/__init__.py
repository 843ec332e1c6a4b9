"""The parts of the stack, in the order in which they are listed; and the order in which they are stopped.

Their modules import clients (psycopg, kafka, httpx, grpc) where they ask, not on top: `neonblue --help` and `down` need
none of them, and they cost a second.
"""

from neonblue_local.errors import SettingsError
from neonblue_local.parts.api import Api
from neonblue_local.parts.base import NotReady, Part
from neonblue_local.parts.clickhouse import ClickHouse
from neonblue_local.parts.connect import Connect
from neonblue_local.parts.dagster import DagsterCode, DagsterDaemon, DagsterWebserver
from neonblue_local.parts.exporter import Exporter
from neonblue_local.parts.kafka import Kafka
from neonblue_local.parts.postgres import Postgres

__all__ = ["PARTS", "SETUP_NEEDS", "STOP_ORDER", "NotReady", "Part", "select"]

PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        Postgres(),
        Kafka(),
        Connect(),
        ClickHouse(),
        Api(),
        DagsterCode(),
        DagsterWebserver(),
        DagsterDaemon(),
        Exporter(),
    )
}
# What setup (tables, topics, connector) works on.
SETUP_NEEDS = ("postgres", "kafka", "connect", "clickhouse")

# Connect before the broker (its shutdown hangs without one), every client before its server.
STOP_ORDER: tuple[tuple[str, ...], ...] = (
    ("connect",),
    ("exporter", "dagster-daemon", "dagster-webserver", "dagster-code", "api"),
    ("clickhouse",),
    ("kafka",),
    ("postgres",),
)


def select(names: list[str] | None) -> list[Part]:
    """The named parts with all that they wait for, or every part."""
    if not names:
        return list(PARTS.values())
    wanted: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in PARTS:
            raise SettingsError(f"part {name!r} does not exist; the parts are {', '.join(PARTS)}")
        if name not in wanted:
            wanted.add(name)
            waiting.extend(PARTS[name].after)
            if PARTS[name].needs_setup:
                waiting.extend(SETUP_NEEDS)
    return [part for part in PARTS.values() if part.name in wanted]
