"""The jobs: which assets are materialised together."""

import dagster as dg

from neonblue_pipeline.assets import checks
from neonblue_pipeline.assets.rollups import Extent

# Looked at by a job of their own, not by every job that makes the assets they are shown on.
_WATCHING = dg.AssetSelection.checks(checks.probes_find_nothing, checks.one_variant_a_user)
_AUDIT = dg.AssetSelection.checks(checks.audit_log_is_whole)
_ROLLUPS = dg.AssetSelection.groups("rollups", "results") - _WATCHING
_RECONCILIATION = dg.AssetSelection.assets("reconciliation") - _WATCHING

OF_ALL = dg.RunConfig(ops={"rollups": Extent(of_all=True)})

setup = dg.define_asset_job(
    "setup",
    selection=dg.AssetSelection.groups("postgres", "stream", "clickhouse") - _WATCHING - _AUDIT,
    description="Everything that must stand before the first event: schemas, topic, connector, tap. Safe to repeat.",
)
live = dg.define_asset_job(
    "live",
    selection=_ROLLUPS,
    description="Rollups of the days that changed, and results of the experiments of which anything did.",
)
refresh = dg.define_asset_job(
    "refresh",
    selection=_ROLLUPS | _RECONCILIATION,
    config=OF_ALL,
    description="Rollups, results of all experiments and reconciliation, now.",
)
hourly = dg.define_asset_job(
    "hourly",
    selection=_RECONCILIATION,
    description="Proof of the windows that are over: PostgreSQL against ClickHouse.",
)
daily = dg.define_asset_job(
    "daily",
    selection=_ROLLUPS | dg.AssetSelection.groups("upkeep") | _AUDIT,
    config=OF_ALL,
    description="Day partitions ahead, old cut-offs thinned, old Dagster runs deleted; results of all experiments, "
    "and a proof of the audit log, once a day in any case.",
)
health = dg.define_asset_job(
    "health",
    selection=dg.AssetSelection.assets("end_to_end_health") | _WATCHING,
    description="A canary event the whole way, and every check of the way and of the data.",
)
repair = dg.define_asset_job(
    "repair",
    selection=dg.AssetSelection.assets("recovered_stream"),
    description="The connector registered again, its tasks restarted, and what was lost meanwhile sent again.",
)

recover = dg.define_asset_job(
    "recover",
    selection=dg.AssetSelection.assets("recovered_stream"),
    description="Slot, topic and tables made again where they are gone; what was lost with them is sent again.",
)
replay = dg.define_asset_job(
    "replay",
    selection=dg.AssetSelection.assets("replayed_span"),
    description="A span of acceptance sent again; its config says which.",
)
erasures = dg.define_asset_job(
    "erasures",
    selection=dg.AssetSelection.assets("erased_users"),
    description="People who asked to be forgotten: every store, step by step, down to the bytes.",
)

ALL = [setup, live, refresh, hourly, daily, health, repair, recover, replay, erasures]
