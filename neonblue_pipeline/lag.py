"""How far each hop of the way is behind, and which of them are too far. Probes only; knows no Dagster."""

from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from neonblue_pipeline import clickhouse, kafka
from neonblue_pipeline.settings import SLOT, Settings
from neonblue_pipeline.sqlfiles import read_sql

MIB = 1024 * 1024
# Above these a hop is told as late. A heartbeat moves the slot every ten seconds, the rollups run every minute.
UNREAD_WAL_LIMIT = 256 * MIB
UNREAD_MESSAGES_LIMIT = 100_000
ROLLUP_AGE_LIMIT_S = 300


@dataclass(frozen=True)
class Hop:
    """One hop: what was measured, its limit, and what to do above it."""

    name: str
    value: float
    unit: str
    limit: float
    cure: str

    @property
    def late(self) -> bool:
        return self.value > self.limit

    def __str__(self) -> str:
        return f"{self.name}: {self.value:,.0f} {self.unit} (limit {self.limit:,.0f})"


def measure(settings: Settings) -> list[Hop]:
    """The hops in the order of the way. Raises what the client of a server that is down raises."""
    return [*_connect(settings), _kafka(settings), _rollups(settings)]


def _connect(settings: Settings) -> list[Hop]:
    with psycopg.connect(settings.postgres_url, connect_timeout=5) as connection:
        row = connection.execute(read_sql("read/unread_wal").encode(), {"slot": SLOT}).fetchone()
    if row is None:
        missing = f"replication slot '{SLOT}' does not exist: `neonblue recover` makes a new one"
        return [Hop("replication_slot_missing", 1, "slot", 0, missing)]
    active, wal_status, unread = row
    return [
        Hop(
            "replication_slot_unread",
            0 if active else 1,
            "slot",
            0,
            "the connector does not read: see its state in Kafka Connect",
        ),
        Hop(
            "replication_slot_lost",
            wal_status == "lost",
            "slot",
            0,
            "PostgreSQL removed WAL the connector needs: `neonblue recover`",
        ),
        Hop("unread_wal", unread, "bytes", UNREAD_WAL_LIMIT, "Kafka Connect or Kafka is slow or down: see their logs"),
    ]


def _kafka(settings: Settings) -> Hop:
    unread = sum(kafka.lag(settings).values())
    return Hop(
        "unread_messages",
        unread,
        "messages",
        UNREAD_MESSAGES_LIMIT,
        "ClickHouse does not keep up or stands: see its log",
    )


def _rollups(settings: Settings) -> Hop:
    with clickhouse.connect(settings, "neonblue_pipeline lag") as server:
        oldest = server.read("pending_rollups")[0]["oldest_at"]
    age = (datetime.now(UTC) - oldest.astimezone(UTC)).total_seconds() if oldest else 0
    return Hop("rollup_age", age, "s", ROLLUP_AGE_LIMIT_S, "see the last runs of the job `live`")
