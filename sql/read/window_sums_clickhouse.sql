-- window_sums_clickhouse.sql (ClickHouse): number of facts and sum of their digests by window; ids is one of ids_landing, ids_processed
-- Grain:  aggregate_type × window; parameter minutes. The same figures as window_sums_postgres for the same facts
select aggregate_type,
       fromUnixTimestamp64Micro(intDiv(toUnixTimestamp64Micro(created_at), {minutes:Int64} * 60000000) * {minutes:Int64} * 60000000, 'UTC')
           as window_start,
       count() as count,
       toString(sum(toInt128(digest))) as checksum
from ids
group by aggregate_type, window_start
