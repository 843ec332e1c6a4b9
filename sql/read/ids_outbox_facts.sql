-- ids_outbox_facts.sql (PostgreSQL): the facts that the outbox tells of; the counterpart of ids_facts
-- Grain:  event, assignment that no later row takes back; parameters start, until (created_at)
-- Distinct: a fact told twice is one fact.
select distinct o.aggregate_type, o.created_at,
       case o.aggregate_type when 'event' then o.aggregate_id
            else (o.payload ->> 'experiment_id') || '/' || (o.payload ->> 'user_id') end as id
from outbox_log o
-- Grouped first, so that it is read once: after a load the planner knows no statistics and would read it for each row.
left join (
    select aggregate_id, max(id) as id from outbox_log
    where created_at >= %(start)s and event_type = 'ASSIGNMENT_DELETED' group by aggregate_id
) d on d.aggregate_id = o.aggregate_id and o.event_type = 'ASSIGNMENT_CREATED' and d.id > o.id
where o.created_at >= %(start)s and o.created_at < %(until)s and o.event_type in ('EVENT_CREATED', 'ASSIGNMENT_CREATED')
  and d.id is null
