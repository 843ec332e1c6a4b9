"""The code location: assembly only. Importing it opens no connection."""

import dagster as dg

from neonblue_pipeline import jobs, schedules, sensors
from neonblue_pipeline.assets import (
    checks,
    health,
    privacy,
    reconciliation,
    recovery,
    rollups,
    schema,
    significance,
    stream,
    upkeep,
)
from neonblue_pipeline.resources import Servers

defs = dg.Definitions(
    assets=[
        schema.postgres_schema,
        stream.kafka_topic,
        stream.connector,
        schema.clickhouse_schema,
        rollups.rollups,
        significance.significance,
        reconciliation.reconciliation,
        recovery.recovered_stream,
        recovery.replayed_span,
        health.end_to_end_health,
        privacy.erased_users,
        upkeep.day_partitions,
        upkeep.known_event_ids,
        upkeep.thinned_cutoffs,
        upkeep.pruned_runs,
        upkeep.dropped_days,
    ],
    asset_checks=[checks.probes_find_nothing, checks.one_variant_a_user, checks.audit_log_is_whole],
    jobs=jobs.ALL,
    schedules=schedules.ALL,
    sensors=[sensors.alarm_sensor, sensors.connector_state, sensors.broken_stream, sensors.open_erasures],
    resources={"servers": Servers()},
    # A step is a few statements to a server: a process for each would cost more than the work.
    executor=dg.in_process_executor,
)
