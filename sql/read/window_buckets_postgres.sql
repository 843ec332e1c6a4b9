-- window_buckets_postgres.sql (PostgreSQL): number of ids of one aggregate type by the first three digits of their MD5, with a checksum
-- Grain:  bucket, 4096 at most; parameter aggregate_type. Finds the ids in which two databases differ without reading all
select left(md5(id), 3) as bucket, count(*) as count, sum(('x' || left(md5(id), 16))::bit(64)::bigint::numeric)::text as checksum
from ids
where aggregate_type = %(aggregate_type)s
group by 1
