"""The code location: assembly only. Importing it opens no connection."""

import dagster as dg

from neonblue_pipeline import jobs
from neonblue_pipeline.assets import rollups, schema, significance, stream
from neonblue_pipeline.resources import Servers

defs = dg.Definitions(
    assets=[
        schema.postgres_schema,
        stream.kafka_topic,
        stream.connector,
        schema.clickhouse_schema,
        rollups.rollups,
        significance.significance,
    ],
    jobs=[jobs.setup, jobs.live],
    resources={"servers": Servers()},
    executor=dg.in_process_executor,
)
