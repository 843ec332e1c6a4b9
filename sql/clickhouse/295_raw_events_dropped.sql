-- 295_raw_events_dropped.sql (ClickHouse): months of events that retention dropped
-- Grain:  one row per month of acceptance (YYYYMM); until is its last day
-- From:   neonblue_pipeline (retention_analytics)   To: rollup, recount: days up to then are never built or recounted again
-- Rerun:  safe; creates what is missing, changes nothing that exists
create table if not exists raw_events_dropped (
    month      UInt32,
    until      Date32,
    events     UInt64,
    dropped_at DateTime64(6, 'UTC') default now64(6)
)
engine = ReplacingMergeTree(dropped_at)
order by month;
