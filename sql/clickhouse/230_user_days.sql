-- 230_user_days.sql (ClickHouse): on what users came, and whether the clocks of their events can be right
-- Grain:  user_days: user × day; user_segments: experiment × user × dimension, empty between runs
-- From:   rollups/user_days, rollups/user_segments     To: rollups/user_segments, sql/read/assignment_audit, segment_*
-- Time:   day is UTC, of the event's timestamp
-- Rerun:  safe; creates what is missing, and has every day built again
-- Apply:  again
create table if not exists user_days (
    day           Date32,
    user_id       String                 codec(ZSTD),
    device        LowCardinality(String),                -- of the day's first event that names one; empty: none did
    browser       LowCardinality(String),
    events        UInt64                 codec(ZSTD),
    late_events   UInt64                 codec(ZSTD),    -- accepted more than a day after they happened
    ahead_events  UInt64                 codec(ZSTD),    -- dated more than a minute after they were accepted
    early_of      Array(UInt64)          codec(ZSTD)     -- experiments of events that name one and are dated before its assignment
)
engine = MergeTree
partition by day
order by user_id;

create table if not exists user_days_staging as user_days;

create table if not exists user_segments (
    experiment_id UInt64,
    user_id       String                 codec(ZSTD),
    variant_id    UInt64,
    assigned_at   DateTime64(6, 'UTC'),
    dimension     LowCardinality(String),
    segment       String,                                -- empty: the user did not tell
    known_before  Bool                                   -- from the assignment, so that no variant can have changed it
)
engine = MergeTree
order by (experiment_id, user_id);

truncate table rolled_definitions;
