-- window_sums_clickhouse.sql (ClickHouse): what can be queried, by window of acceptance; the counterpart of window_sums_postgres
-- Grain:  aggregate_type × window; parameters minutes, start, until (both on window borders)
with facts as (
    select 'event' as aggregate_type, created_at, toString(id) as id
    from events_processed
    where created_at >= {start:DateTime64(6, 'UTC')} and created_at < {until:DateTime64(6, 'UTC')}
    union all
    select 'assignment' as aggregate_type, created_at, concat(toString(experiment_id), '/', user_id) as id
    from assignments_mv
    where created_at >= {start:DateTime64(6, 'UTC')} and created_at < {until:DateTime64(6, 'UTC')}
)
select aggregate_type,
       fromUnixTimestamp64Micro(intDiv(toUnixTimestamp64Micro(created_at), {minutes:Int64} * 60000000) * {minutes:Int64} * 60000000, 'UTC')
           as window_start,
       count() as count,
       toString(sum(toInt128(reinterpretAsInt64(reverse(substring(MD5(id), 1, 8)))))) as checksum
from facts
group by aggregate_type, window_start
