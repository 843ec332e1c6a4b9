-- window_sums_clickhouse.sql (ClickHouse): number and checksum of ids by window; ids is one of ids_landing, ids_processed
-- Grain:  aggregate_type × window; parameter minutes. The same figures as window_sums_postgres for the same ids
select aggregate_type,
       fromUnixTimestamp64Micro(intDiv(toUnixTimestamp64Micro(created_at), {minutes:Int64} * 60000000) * {minutes:Int64} * 60000000, 'UTC')
           as window_start,
       count() as count,
       toString(sum(toInt128(reinterpretAsInt64(reverse(substring(MD5(id), 1, 8)))))) as checksum
from ids
group by aggregate_type, window_start
