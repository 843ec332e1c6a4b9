-- 235_user_traits.sql (ClickHouse): what is known of each compared user by which users can be told apart
-- Grain:  experiment × user, empty between runs
-- From:   rollups/user_traits            To: rollups/user_segments
-- Units:  told: dimension, value, and whether it was learned after the assignment (1) or with it (0)
-- Rerun:  safe; creates what is missing, changes nothing that exists
create table if not exists user_traits (
    experiment_id UInt64,
    user_id       String                 codec(ZSTD),
    variant_id    UInt64,
    assigned_at   DateTime64(6, 'UTC'),
    told          Array(Tuple(String, String, UInt8))
)
engine = MergeTree
order by (experiment_id, user_id);
