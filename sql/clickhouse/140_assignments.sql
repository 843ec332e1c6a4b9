-- 140_assignments.sql (ClickHouse): which user is in which variant
-- Grain:  one row per message until merged; read assignments_mv, which has one row per experiment and user
-- From:   141_assignments_views
-- Time:   assigned_at is the moment from which events count, created_at PostgreSQL's clock; UTC
-- Rerun:  safe; creates what is missing, changes nothing that exists
create table if not exists assignments_rows (
    experiment_id  UInt64,
    experiment_key LowCardinality(String),
    user_id        String                 codec(ZSTD),
    variant_id     UInt64                 codec(ZSTD),
    variant_key    LowCardinality(String),
    assigned_at    DateTime64(6, 'UTC')   codec(Delta, ZSTD),
    source         LowCardinality(String),
    attributes     String                 codec(ZSTD),
    created_at     DateTime64(6, 'UTC')   codec(Delta, ZSTD),
    deleted        Bool,
    outbox_id      UInt64                 codec(Delta, ZSTD),
    index by_created_at created_at type minmax
)
engine = ReplacingMergeTree(outbox_id)
order by (user_id, experiment_id);
