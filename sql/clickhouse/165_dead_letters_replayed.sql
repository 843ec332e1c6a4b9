-- 165_dead_letters_replayed.sql (ClickHouse): which dead letters were sent again, and when
-- Grain:  one row per message and replay until merged, then the last
-- From:   neonblue_pipeline (dead_letters)      To: sql/read/dead_letters; one that fails again has a later received_at
-- Rerun:  safe; creates what is missing, changes nothing that exists
create table if not exists dead_letters_replayed (
    topic           LowCardinality(String),
    partition       UInt32,
    offset          UInt64,
    kafka_timestamp DateTime64(3, 'UTC'),
    replayed_at     DateTime64(6, 'UTC')
)
engine = ReplacingMergeTree(replayed_at)
order by (topic, partition, offset, kafka_timestamp);
