"""The pipeline: schemas, stream, rollups, significance and reconciliation, as Dagster assets."""
