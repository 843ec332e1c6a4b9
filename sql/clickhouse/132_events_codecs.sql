-- 132_events_codecs.sql (ClickHouse): how the columns of events_rows are compressed
-- Grain:  as in 130_events
-- From:   130_events                     To: parts written or merged from now on; those that stand keep what they have
-- Rerun:  safe
-- By 400,000 events of the bench, in bytes an event: numbers of a dictionary 3.5 -> 2.1, properties 12.0 -> 9.8 (level 12 would be
-- 8.4 for twice the time of a merge), created_at 2.3 -> 1.2, as one request's events share it, outbox_id 2.5 -> 2.0.
alter table events_rows
    modify column properties  codec(ZSTD(6)),
    modify column created_at  codec(ZSTD),
    modify column outbox_id   codec(T64, ZSTD),
    modify column event_type  codec(ZSTD),
    modify column variant_key codec(ZSTD),
    modify column page        codec(ZSTD),
    modify column device      codec(ZSTD),
    modify column browser     codec(ZSTD);
