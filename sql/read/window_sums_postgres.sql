-- window_sums_postgres.sql (PostgreSQL): number and checksum of ids by window; ids is one of ids_facts, ids_outbox_facts, ids_outbox
-- Grain:  aggregate_type × window; parameter minutes
-- The checksum is the sum of the first eight bytes of each id's MD5, so it does not depend on the order of the rows.
select aggregate_type, date_bin(make_interval(mins => %(minutes)s), created_at, 'epoch') as window_start, count(*) as count,
       sum(('x' || left(md5(id), 16))::bit(64)::bigint::numeric)::text as checksum
from ids
group by 1, 2
