-- 130_events.sql (ClickHouse): the accepted events
-- Grain:  one row per event and delivery until merged; read events_processed, which has one row per event
-- From:   131_events_views               To: events_processed in the same file
-- Time:   timestamp is the client's, created_at PostgreSQL's; UTC
-- Rerun:  safe; creates what is missing, changes nothing that exists
-- The key holds what the producer fixed for ever, users first for the join with assignments. Partitions follow our clock:
-- by the client's, a block of events from a hundred months would be refused and the stream would stand still.
create table if not exists events_rows (
    id            UUID,
    experiment_id Nullable(UInt64)                  codec(ZSTD),
    user_id       String                            codec(ZSTD),
    variant_id    Nullable(UInt64)                  codec(ZSTD),
    variant_key   LowCardinality(Nullable(String)),
    event_type    LowCardinality(String),
    timestamp     DateTime64(6, 'UTC')              codec(Delta, ZSTD),
    assignment_at Nullable(DateTime64(6, 'UTC'))    codec(ZSTD),
    properties    String                            codec(ZSTD(3)),   -- the exact text PostgreSQL keeps
    session_id    Nullable(String)                  codec(ZSTD),
    request_id    Nullable(String)                  codec(ZSTD),
    created_at    DateTime64(6, 'UTC')              codec(Delta, ZSTD),
    page          LowCardinality(Nullable(String)),
    device        LowCardinality(Nullable(String)),
    browser       LowCardinality(Nullable(String)),
    value         Nullable(Float64)                 codec(ZSTD),
    score         Nullable(Float64)                 codec(ZSTD),
    outbox_id     UInt64                            codec(Delta, ZSTD),
    index by_timestamp  timestamp  type minmax,
    index by_created_at created_at type minmax
)
engine = ReplacingMergeTree(outbox_id)
partition by toYYYYMM(created_at)
order by (user_id, timestamp, id);
