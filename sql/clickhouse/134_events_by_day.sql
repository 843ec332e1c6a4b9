-- 134_events_by_day.sql (ClickHouse): events lie by the day on which they happened, so that what is asked of a day reads that day
-- Grain:  as in 130_events
-- From:   130_events, 132_events_codecs, 133_events_at_rest, whose columns these are  To: the same, by another key
-- Time:   the day is UTC, of the event's timestamp; what came late lies with its day
-- Rerun:  safe; writes the table anew, with the stream stopped meanwhile. Readers have the old one until the new one is whole
-- By user alone each day's events lay among those of the whole month: on its 22nd day a day took four times as long to build as on its
-- first. The day is the timestamp's, so that the key still holds what the producer fixed for ever.
-- Within a day nearly all were accepted on it: created_at rules out other days again, which is what reconciliation asks for.
create or replace table events_rows (
    id            UUID                              codec(NONE),
    experiment_id Nullable(UInt64)                  codec(ZSTD),
    user_id       String                            codec(ZSTD(6)),
    variant_id    Nullable(UInt64)                  codec(ZSTD),
    variant_key   LowCardinality(Nullable(String))  codec(ZSTD),
    event_type    LowCardinality(String)            codec(ZSTD),
    timestamp     DateTime64(6, 'UTC')              codec(Delta, ZSTD),
    assignment_at Nullable(DateTime64(6, 'UTC'))    codec(ZSTD),
    properties    String                            codec(Default),
    session_id    Nullable(String)                  codec(ZSTD),
    request_id    LowCardinality(Nullable(String))  codec(ZSTD(6)),
    created_at    DateTime64(6, 'UTC')              codec(ZSTD(6)),
    page          LowCardinality(Nullable(String))  codec(ZSTD),
    device        LowCardinality(Nullable(String))  codec(ZSTD),
    browser       LowCardinality(Nullable(String))  codec(ZSTD),
    value         Nullable(Float64)                 codec(ZSTD(6)),
    score         Nullable(Float64)                 codec(ZSTD(6)),
    outbox_id     UInt64                            codec(T64, ZSTD(6)),
    index by_created_at created_at type minmax
)
engine = ReplacingMergeTree(outbox_id)
partition by toYYYYMM(created_at)
order by (toDate32(timestamp), user_id, timestamp, id)
ttl created_at - interval 1 day recompress codec(ZSTD(3)), created_at + interval 1 day recompress codec(ZSTD(14))
settings merge_selector_base = 10, write_marks_for_substreams_in_compact_parts = 0
as select * from events_rows
settings max_threads = 1, max_insert_threads = 1, max_block_size = 50000, min_insert_block_size_rows = 100000;
