-- 133_events_at_rest.sql (ClickHouse): events take less once a day has passed, and little work until then
-- Grain:  as in 130_events
-- From:   130_events, 132_events_codecs  To: parts written or merged from now on; request_id is written anew in those that stand
-- Time:   a day after created_at parts are written once more, by the engine's own schedule (every four hours at most)
-- Rerun:  safe
-- By 400,000 events of the bench, in bytes an event: 41.2 before; now 41.4 at first and 37.5 a day later. Properties at level 3 are
-- 12.0 for 0.6 µs an event, at 6 9.8 for 1.0, at 14 8.1 for 5.9: merges of the first hours are several, this one comes once.
-- request_id 2.3 -> 0.9: a batch shares one, and its events lie far apart. Random ids do not get smaller. What is Default follows the part.
alter table events_rows
    modify column id         codec(NONE),
    modify column user_id    codec(ZSTD(6)),
    modify column properties codec(Default),
    modify column request_id LowCardinality(Nullable(String)) codec(ZSTD(6)),
    modify column created_at codec(ZSTD(6)),
    modify column value      codec(ZSTD(6)),
    modify column score      codec(ZSTD(6)),
    modify column outbox_id  codec(T64, ZSTD(6));

-- The first term is true of every row: without it, merges would take LZ4, twice the size.
alter table events_rows
    modify ttl created_at - interval 1 day recompress codec(ZSTD(3)), created_at + interval 1 day recompress codec(ZSTD(14))
    settings materialize_ttl_after_modify = 0;

-- Of each part the partition's key keeps the same, and rows lie by user: within a part it ruled nothing out, for two files a block.
alter table events_rows drop index if exists by_created_at;
