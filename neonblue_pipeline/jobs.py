"""The jobs: which assets are materialised together."""

import dagster as dg

_ROLLUPS = dg.AssetSelection.groups("rollups", "results")

setup = dg.define_asset_job(
    "setup",
    selection=dg.AssetSelection.groups("postgres", "stream", "clickhouse"),
    description="Everything that must stand before the first event: schemas, topic, connector, tap. Safe to repeat.",
)
live = dg.define_asset_job(
    "live", selection=_ROLLUPS, description="Rollups of the days that changed, and the results that follow from them."
)
