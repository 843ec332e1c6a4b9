"""Tables and views of both databases: the files of sql/postgres and sql/clickhouse, applied through the ledger."""

import time
from collections.abc import Iterator

import dagster as dg

from neonblue_pipeline import ledger, rollup
from neonblue_pipeline.resources import Servers, comment
from neonblue_pipeline.sqlfiles import SqlFile, code_version, sql_files

# Asset: number of its first file, what it is, the assets it reads. An asset owns the files up to the next one's.
POSTGRES = {
    "users": ("010", "People an application tells us about, and API tokens.", []),
    "experiments": ("020", "What is being compared: experiments, variants, metrics.", []),
    "assignments": ("030", "Which variant a user gets; the first assignment stays.", ["experiments"]),
    "events": ("040", "What users did, as accepted; a partition a day.", ["assignments"]),
    "outbox_events": (
        "050",
        "What the stream carries, written with each fact; a partition a day.",
        ["events", "assignments"],
    ),
    "intake": (
        "070",
        "The one way in: functions that write fact and outbox row in one statement.",
        ["outbox_events", "users"],
    ),
    "publication": ("090", "What Debezium may read: inserts into the outbox.", ["intake"]),
    "audit_log": ("100", "Who changed, exported or erased what and when, chained by hashes.", ["experiments", "users"]),
}
CLICKHOUSE = {
    "raw_events_kafka": ("110", "The topic, as a table to read from.", ["connector", "kafka_topic"]),
    "landing": ("120", "Every message as it was received.", ["raw_events_kafka"]),
    "events_processed": ("130", "The accepted events, each once.", ["landing"]),
    "assignments_mv": ("140", "Which user is in which variant, each pair once.", ["landing"]),
    "experiment_definitions": ("150", "What is being compared, at its latest revision.", ["landing"]),
    "dead_letters": ("160", "Messages that could not be read, with reason and position.", ["landing"]),
    "dirty_windows": (
        "170",
        "Days and users whose rollups have to be built again.",
        ["events_processed", "assignments_mv"],
    ),
    "landing_from_kafka": (
        "190",
        "The tap: the view that makes messages flow, opened last.",
        ["raw_events_kafka", "landing", "dead_letters", "dirty_windows", "experiment_definitions"],
    ),
    "rollup_tables": ("200", "Tables that the rollups and results are swapped into.", ["landing_from_kafka"]),
}
Owned = dict[str, tuple[str, str, list[str]]]


def files_of(owned: Owned, database: str) -> dict[str, list[SqlFile]]:
    """The files of each asset: from its number to the next asset's."""
    found: dict[str, list[SqlFile]] = {name: [] for name in owned}
    for file in sql_files(database):
        number = file.name.split("/")[1][:3]
        owner = [name for name, (first, _, _) in owned.items() if first <= number][-1]
        found[owner].append(file)
    return found


def _specs(owned: Owned, database: str) -> list[dg.AssetSpec]:
    files = files_of(owned, database)
    return [
        dg.AssetSpec(
            name,
            description=about + "\n\n" + ", ".join(f"`sql/{file.name}`" for file in files[name]),
            deps=deps,
            group_name=database,
            kinds={database, "sql"},
            code_version=code_version(*files[name]),
        )
        for name, (_, about, deps) in owned.items()
    ]


def _results(owned: Owned, database: str, applied: list[str], seconds: float) -> Iterator[dg.MaterializeResult]:
    for name, files in files_of(owned, database).items():
        yield dg.MaterializeResult(
            asset_key=name,
            metadata={
                "files": len(files),
                "applied": [file.name for file in files if file.name in applied],
                "seconds": round(seconds, 3),
            },
        )


@dg.multi_asset(specs=_specs(POSTGRES, "postgres"), name="postgres_schema", pool="schema")
def postgres_schema(context: dg.AssetExecutionContext, servers: Servers) -> Iterator[dg.MaterializeResult]:
    """Applies the files of sql/postgres that PostgreSQL does not have yet, and makes a week of day partitions ahead.

    A file is applied in one transaction with its row in the ledger. Rerunning applies nothing.
    """
    started = time.monotonic()
    with ledger.postgres_schema(servers.settings) as schema:
        applied = ledger.apply(schema, sql_files("postgres"))
        schema.connection.execute("select ensure_day_partitions((now() at time zone 'UTC')::date, 7)")
    yield from _results(POSTGRES, "postgres", applied, time.monotonic() - started)


@dg.multi_asset(specs=_specs(CLICKHOUSE, "clickhouse"), name="clickhouse_schema", pool="schema")
def clickhouse_schema(context: dg.AssetExecutionContext, servers: Servers) -> Iterator[dg.MaterializeResult]:
    """Applies the files of sql/clickhouse that ClickHouse does not have yet; rerunning applies nothing.

    All in one step, because a change of one view closes the tap until every view behind it stands again. No build is
    under way meanwhile: at its end it would say that everything is built, where a file has it built again.
    """
    started = time.monotonic()
    settings = servers.settings
    files = [file.rendered(settings.sql_variables) for file in sql_files("clickhouse")]
    applied: list[str] = []
    with ledger.clickhouse_schema(settings, comment(context)) as schema:
        if ledger.pending(files, schema.applied()):
            with rollup.lock(settings, comment(context)) as clickhouse:
                applied = ledger.apply(ledger.ClickHouseSchema(clickhouse), files)
    yield from _results(CLICKHOUSE, "clickhouse", applied, time.monotonic() - started)
