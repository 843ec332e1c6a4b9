-- window_sums_postgres.sql (PostgreSQL): number of facts and sum of their digests by window; ids is one of ids_facts, ids_outbox_facts,
-- ids_outbox
-- Grain:  aggregate_type × window; parameter minutes
-- A sum does not depend on the order of the rows.
select aggregate_type, date_bin(make_interval(mins => %(minutes)s), created_at, 'epoch') as window_start, count(*) as count,
       sum(digest)::text as checksum
from ids
group by 1, 2
