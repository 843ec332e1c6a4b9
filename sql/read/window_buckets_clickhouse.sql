-- window_buckets_clickhouse.sql (ClickHouse): the counterpart of window_buckets_postgres
-- Grain:  bucket, 4096 at most; parameter aggregate_type
select substring(lower(hex(MD5(id))), 1, 3) as bucket, count() as count, toString(sum(toInt128(digest))) as checksum
from ids
where aggregate_type = {aggregate_type:String}
group by bucket
