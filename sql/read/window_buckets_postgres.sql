-- window_buckets_postgres.sql (PostgreSQL): number and digests of the facts of one aggregate type by the first three digits of their id's MD5
-- Grain:  bucket, 4096 at most; parameter aggregate_type. Finds the facts in which two databases differ without reading all
select left(md5(id), 3) as bucket, count(*) as count, sum(digest)::text as checksum
from ids
where aggregate_type = %(aggregate_type)s
group by 1
