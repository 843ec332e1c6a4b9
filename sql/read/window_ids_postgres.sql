-- window_ids_postgres.sql (PostgreSQL): the facts of some buckets
-- Grain:  id; parameters aggregate_type, buckets
select id, digest from ids where aggregate_type = %(aggregate_type)s and left(md5(id), 3) = any (%(buckets)s)
