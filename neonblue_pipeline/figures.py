"""The figures that probes take and the exporter shows: name, unit in the name, what it says. Prometheus' conventions.

Labels are bounded: partitions of the topic, names of rollups, experiments that run.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Series:
    """One metric; `labels` are the names of its labels."""

    name: str
    what: str
    labels: tuple[str, ...] = ()

    def at(self, value: float, *labels: str) -> "Figure":
        assert len(labels) == len(self.labels), self.name
        return Figure(self, float(value), labels)


@dataclass(frozen=True)
class Figure:
    """One value of a series, as it is now."""

    series: Series
    value: float
    labels: tuple[str, ...] = ()


FREE_DISK = Series(
    "neonblue_postgres_disk_free_bytes", "What may still be written to PostgreSQL's disk, as the API tells it."
)
UNREAD_WAL = Series(
    "neonblue_slot_unread_wal_bytes", "Write-ahead log of PostgreSQL that the connector has not confirmed."
)
KEPT_WAL = Series("neonblue_slot_kept_wal_bytes", "Write-ahead log that PostgreSQL keeps on disk for the slot.")
SAFE_WAL = Series(
    "neonblue_slot_safe_wal_bytes",
    "Write-ahead log that may still be written before the slot is lost (max_slot_wal_keep_size).",
)
SLOT_ACTIVE = Series("neonblue_slot_active", "1 while the connector reads the replication slot.")
LAST_OUTBOX_ID = Series("neonblue_outbox_last_id", "The last id that the outbox gave out.")
LANDED_OUTBOX_ID = Series("neonblue_landing_last_outbox_id", "The highest outbox id that landed in ClickHouse.")
OUTBOX_BACKLOG = Series(
    "neonblue_outbox_backlog_rows",
    "Outbox ids above the highest that landed; those of a rollback count until the next row lands.",
)
TASKS = Series("neonblue_connect_tasks", "The connector and its tasks by state.", ("kind", "state"))
UNREAD_MESSAGES = Series(
    "neonblue_consumer_lag_messages", "Messages of the topic that ClickHouse has not committed.", ("partition",)
)
NEWEST_EVENT = Series(
    "neonblue_events_processed_newest_timestamp_seconds",
    "Unix time at which the newest event that can be queried was accepted.",
)
NEWEST_LANDED = Series(
    "neonblue_landing_newest_timestamp_seconds", "Unix time at which the last message reached ClickHouse."
)
DEAD_LETTERS = Series("neonblue_dead_letters_open", "Messages that could not be read and that nobody sent again.")
ROLLUP_WAITING = Series(
    "neonblue_rollup_waiting_seconds",
    "For how long the oldest change has not been in rollups and results; 0: all are in.",
)
ROLLUP_BUILT = Series(
    "neonblue_rollup_built_timestamp_seconds", "Unix time at which rows of the rollup were written last.", ("rollup",)
)
RESULTS_CUTOFF = Series(
    "neonblue_results_cutoff_timestamp_seconds", "Unix time up to which the newest results hold facts."
)
COMPARED_UNTIL = Series(
    "neonblue_reconciliation_compared_until_timestamp_seconds",
    "Unix time of acceptance up to which PostgreSQL and ClickHouse were compared.",
)
GAPS = Series("neonblue_reconciliation_unequal_windows", "Windows in which PostgreSQL and ClickHouse differ.")
GAP_ROWS = Series("neonblue_reconciliation_missing_facts", "Facts by which the windows that differ differ.")
MISMATCHED = Series("neonblue_sample_ratio_mismatches", "Running experiments whose users are not split as planned.")
MISMATCH = Series(
    "neonblue_sample_ratio_mismatch_p_value",
    "p-value of the split, of each running experiment that is not split as planned (the first fifty).",
    ("experiment",),
)

ALL = tuple(found for found in list(globals().values()) if isinstance(found, Series))
