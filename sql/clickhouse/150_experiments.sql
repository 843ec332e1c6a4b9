-- 150_experiments.sql (ClickHouse): what is being compared
-- Grain:  one row per revision until merged; read experiment_definitions, which has one row per experiment
-- From:   151_experiments_views
-- Time:   started_at, stopped_at bound the run within which events count; UTC
-- Rerun:  safe; creates what is missing, changes nothing that exists
create table if not exists experiments_rows (
    experiment_id UInt64,
    key           String,
    name          String,
    status        LowCardinality(String),
    revision      UInt64,
    started_at    Nullable(DateTime64(6, 'UTC')),
    stopped_at    Nullable(DateTime64(6, 'UTC')),
    created_at    DateTime64(6, 'UTC'),
    updated_at    DateTime64(6, 'UTC'),
    variants      String,                            -- JSON, as published
    metrics       String,                            -- JSON, as published
    lsn           UInt64
)
engine = ReplacingMergeTree(revision)
order by experiment_id;
