-- ids_facts.sql (PostgreSQL): every fact that was accepted and not taken back
-- Grain:  event, assignment; parameters start, until (created_at)
-- The id of an assignment is experiment_id/user_id; one that was taken back is in no database.
select 'event' as aggregate_type, created_at, event_id::text as id
from events
where created_at >= %(start)s and created_at < %(until)s
  and received_on between (%(start)s::timestamptz at time zone 'UTC')::date and (%(until)s::timestamptz at time zone 'UTC')::date
union all
select 'assignment', created_at, experiment_id || '/' || user_id
from assignments
where created_at >= %(start)s and created_at < %(until)s
