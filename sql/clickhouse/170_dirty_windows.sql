-- 170_dirty_windows.sql (ClickHouse): what the rollups have to build again
-- Grain:  dirty_days: one row per day, partition and block of events; dirty_assignments: one row per assignment received
-- From:   171_dirty_windows_views   To: neonblue_pipeline (assets/rollups), which deletes what it has done
-- Time:   day is the UTC day of the event's timestamp
-- Rerun:  safe; creates what is missing, changes nothing that exists
-- A mark may become visible before the rows it tells of. It is deleted only when the consumer had committed its offset before
-- the rebuild began: a committed offset proves that the whole block is in every table.
create table if not exists dirty_days (
    day         Date32,
    topic       LowCardinality(String),
    partition   UInt32,
    last_offset UInt64,
    events      UInt64,
    marked_at   DateTime64(6, 'UTC') default now64(6)
)
engine = MergeTree
order by (topic, partition, last_offset);

create table if not exists dirty_assignments (
    user_id     String,
    assigned_at DateTime64(6, 'UTC'),
    topic       LowCardinality(String),
    partition   UInt32,
    last_offset UInt64,
    marked_at   DateTime64(6, 'UTC') default now64(6)
)
engine = MergeTree
order by (topic, partition, last_offset);
