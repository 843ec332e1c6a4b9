-- 160_dead_letters.sql (ClickHouse): messages that could not be read
-- Grain:  dead_letters_rows: one row per message and delivery until merged; dead_letters: one row per message
-- From:   161_dead_letters_views      To: readers, replay after a fix
-- Time:   kafka_timestamp is the broker's clock at append
-- Rerun:  safe; creates what is missing, changes nothing that exists
create table if not exists dead_letters_rows (
    topic           LowCardinality(String),
    partition       UInt32,
    offset          UInt64,
    kafka_timestamp DateTime64(3, 'UTC'),
    reason          LowCardinality(String),
    raw             String                 codec(ZSTD),   -- the message; the payload where the envelope could be read
    received_at     DateTime64(6, 'UTC')   default now64(6)
)
engine = ReplacingMergeTree
partition by toYYYYMM(kafka_timestamp)
order by (topic, partition, offset, kafka_timestamp);
