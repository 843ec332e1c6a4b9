"""What the stores hold: messages that cannot be read, rollups, the ledger of proofs, splits of running experiments."""

from datetime import UTC, datetime

import psycopg
from psycopg.rows import dict_row

from neonblue_pipeline import clickhouse, figures, rollup
from neonblue_pipeline.probes.probe import COMMENT, PATIENCE_S, Finding, Positions, Told, unix
from neonblue_pipeline.settings import Settings
from neonblue_pipeline.sqlfiles import read_sql

# The rollups run every minute.
ROLLUP_AGE_LIMIT_S = 300
OVERDUE_HOURS = 2
# Experiments that get a figure of their own.
_NAMED = 50


def dead_letters(settings: Settings, positions: Positions) -> Told:
    with clickhouse.connect(settings, COMMENT, patience_s=PATIENCE_S) as server:
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


def rollups(settings: Settings, positions: Positions) -> Told:
    with clickhouse.connect(settings, COMMENT, patience_s=PATIENCE_S) as server:
        oldest = server.read("pending_rollups")[0]["oldest_at"]
        built = server.read("rollups_built", tables=[*rollup.BY_DAY, *rollup.OF_USERS, rollup.SUMMARY])
        cutoff = server.read("newest_cutoff")[0]["cutoff_at"]
    age = (datetime.now(UTC) - oldest.astimezone(UTC)).total_seconds() if oldest else 0
    found: Told = [figures.ROLLUP_WAITING.at(max(age, 0)), figures.RESULTS_CUTOFF.at(unix(cutoff))]
    found += [figures.ROLLUP_BUILT.at(unix(row["built_at"]), row["rollup"]) for row in built]
    if age <= ROLLUP_AGE_LIMIT_S:
        return found
    cure = "see the last runs of the job `live` in Dagster"
    how_bad = f"changes of {age:,.0f} s ago are not in the results (limit {ROLLUP_AGE_LIMIT_S:,} s)"
    return [*found, Finding("rollup age", "the rollups are behind", how_bad, cure)]


def ledger(settings: Settings, positions: Positions) -> Told:
    query = read_sql("read/ledger_gaps").encode()
    with psycopg.connect(settings.postgres_url, autocommit=True, connect_timeout=PATIENCE_S) as postgres:
        postgres.execute("set statement_timeout = '5s'")
        # The planner takes any span of the outbox to begin soon and reads all of it; the index by time skips the rest.
        postgres.execute("set enable_seqscan = off")
        row = postgres.cursor(row_factory=dict_row).execute(query, {"overdue_hours": OVERDUE_HOURS}).fetchone()
    assert row is not None
    found: Told = [figures.GAPS.at(row["unequal"]), figures.GAP_ROWS.at(row["rows"])]
    if row["compared_until"]:
        found.append(figures.COMPARED_UNTIL.at(unix(row["compared_until"])))
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


def splits(settings: Settings, positions: Positions) -> Told:
    with clickhouse.connect(settings, COMMENT, patience_s=PATIENCE_S) as server:
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
