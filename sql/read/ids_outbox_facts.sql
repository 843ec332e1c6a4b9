-- ids_outbox_facts.sql (PostgreSQL): the facts that the outbox tells of; the counterpart of ids_facts
-- Grain:  event, assignment that no later row takes back, experiment at its last revision unless it was deleted; parameters start, until (created_at)
-- Distinct: a fact told twice is one fact.
select distinct aggregate_type, created_at, id, ('x' || left(md5(fact), 16))::bit(64)::bigint as digest
from (
    select 'event' as aggregate_type, created_at, p ->> 'id' as id,
           concat(p ->> 'id', E'\x1f', p ->> 'user_id', E'\x1f', p ->> 'event_type', E'\x1f',
                  (extract(epoch from (p ->> 'timestamp')::timestamptz) * 1000000)::bigint, E'\x1f',
                  p ->> 'experiment_id', E'\x1f', p ->> 'variant_id', E'\x1f', p ->> 'variant_key', E'\x1f',
                  (extract(epoch from (p ->> 'assignment_at')::timestamptz) * 1000000)::bigint, E'\x1f',
                  '+' || (p ->> 'session_id'), E'\x1f', '+' || (p ->> 'request_id'), E'\x1f',
                  (extract(epoch from (p ->> 'created_at')::timestamptz) * 1000000)::bigint, E'\x1f', p ->> 'properties') as fact
    from (select created_at,
                 jsonb_array_elements(case json_typeof(payload) when 'array' then payload::jsonb else jsonb_build_array(payload) end) as p
          from outbox_log
          where created_at >= %(start)s and created_at < %(until)s and event_type = 'EVENT_CREATED') e
    union all
    select 'assignment', o.created_at, concat(o.p ->> 'experiment_id', '/', o.p ->> 'user_id'),
           concat(o.p ->> 'experiment_id', E'\x1f', o.p ->> 'experiment_key', E'\x1f', o.p ->> 'user_id', E'\x1f', o.p ->> 'variant_id', E'\x1f',
                  o.p ->> 'variant_key', E'\x1f', (extract(epoch from (o.p ->> 'assigned_at')::timestamptz) * 1000000)::bigint, E'\x1f',
                  o.p ->> 'source', E'\x1f', o.p ->> 'attributes', E'\x1f',
                  (extract(epoch from (o.p ->> 'created_at')::timestamptz) * 1000000)::bigint)
    from (select id, created_at, aggregate_id, payload::jsonb as p from outbox_log
          where created_at >= %(start)s and created_at < %(until)s and event_type = 'ASSIGNMENT_CREATED') o
    -- Grouped first, so that it is read once: after a load the planner knows no statistics and would read it for each row.
    left join (
        select aggregate_id, max(id) as id from outbox_log
        where created_at >= %(start)s and event_type = 'ASSIGNMENT_DELETED' group by aggregate_id
    ) d on d.aggregate_id = o.aggregate_id and d.id > o.id
    where d.id is null
    union all
    select 'experiment', o.created_at, o.aggregate_id,
           concat(o.p ->> 'experiment_id', E'\x1f', o.p ->> 'key', E'\x1f', o.p ->> 'name', E'\x1f', o.p ->> 'status', E'\x1f',
                  o.p ->> 'revision', E'\x1f', (extract(epoch from (o.p ->> 'started_at')::timestamptz) * 1000000)::bigint, E'\x1f',
                  (extract(epoch from (o.p ->> 'stopped_at')::timestamptz) * 1000000)::bigint, E'\x1f',
                  (extract(epoch from (o.p ->> 'created_at')::timestamptz) * 1000000)::bigint, E'\x1f',
                  (extract(epoch from (o.p ->> 'updated_at')::timestamptz) * 1000000)::bigint)
    from (select distinct on (aggregate_id) aggregate_id, event_type, created_at, payload::jsonb as p from outbox_log
          where created_at >= %(start)s and aggregate_type = 'experiment' order by aggregate_id, id desc) o
    where o.created_at < %(until)s and o.event_type != 'EXPERIMENT_DELETED'
) facts
