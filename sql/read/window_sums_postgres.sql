-- window_sums_postgres.sql (PostgreSQL): what was accepted, by window of acceptance
-- Grain:  aggregate_type × window; parameters minutes, start, until (both on window borders)
-- The checksum is the sum of the first eight bytes of each id's MD5, so it does not depend on the order of the rows.
-- The id of an assignment is experiment_id/user_id; one that was taken back is in neither database.
with facts as (
    select 'event' as aggregate_type, created_at, event_id::text as id
    from events
    where created_at >= %(start)s and created_at < %(until)s
      and received_on between (%(start)s::timestamptz at time zone 'UTC')::date and (%(until)s::timestamptz at time zone 'UTC')::date
    union all
    select 'assignment', created_at, experiment_id || '/' || user_id
    from assignments
    where created_at >= %(start)s and created_at < %(until)s
)
select aggregate_type, date_bin(make_interval(mins => %(minutes)s), created_at, 'epoch') as window_start, count(*) as count,
       sum(('x' || left(md5(id), 16))::bit(64)::bigint::numeric)::text as checksum
from facts
group by 1, 2
