-- window_ids_postgres.sql (PostgreSQL): the ids of some buckets
-- Grain:  id; parameters aggregate_type, buckets
select id from ids where aggregate_type = %(aggregate_type)s and left(md5(id), 3) = any (%(buckets)s)
