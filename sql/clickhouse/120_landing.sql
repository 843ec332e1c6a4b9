-- 120_landing.sql (ClickHouse): every message as it was received
-- Grain:  landing_rows: one row per message and delivery until merged; landing: one row per message
-- From:   190_landing_from_kafka         To: 131, 141, 151, 161; replay after a change of the views behind it
-- Time:   kafka_timestamp is the broker's clock at append, created_at PostgreSQL's, received_at ours
-- Rerun:  safe; creates what is missing, changes nothing that exists
-- A recreated topic starts again at offset 0: the broker's time in the key keeps both incarnations.
create table if not exists landing_rows (
    topic           LowCardinality(String),
    partition       UInt32,
    offset          UInt64                 codec(Delta, ZSTD),
    kafka_timestamp DateTime64(3, 'UTC')   codec(Delta, ZSTD),
    key             String                 codec(ZSTD),
    lsn             UInt64                 codec(Delta, ZSTD),   -- of the row in PostgreSQL's write-ahead log
    outbox_id       UInt64                 codec(Delta, ZSTD),
    aggregate_id    String                 codec(ZSTD),
    aggregate_type  LowCardinality(String),
    event_type      LowCardinality(String),
    created_at      DateTime64(6, 'UTC')   codec(Delta, ZSTD),
    payload         String                 codec(ZSTD),
    raw             String                 codec(ZSTD),          -- the bytes, only where they could not be read
    reason          LowCardinality(String),                      -- why they could not; empty where they could
    received_at     DateTime64(6, 'UTC')   default now64(6)      codec(Delta, ZSTD)
)
engine = ReplacingMergeTree
partition by toYYYYMM(kafka_timestamp)
order by (topic, partition, offset, kafka_timestamp);
