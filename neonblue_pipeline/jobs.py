"""The jobs: which assets are materialised together."""

import dagster as dg

setup = dg.define_asset_job(
    "setup",
    selection=dg.AssetSelection.groups("postgres", "stream", "clickhouse"),
    description="Everything that must stand before the first event: schemas, topic, connector, tap. Safe to repeat.",
)
