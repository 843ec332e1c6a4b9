-- ids_facts.sql (PostgreSQL): every fact that was accepted and not taken back, and every experiment as it is now
-- Grain:  event, assignment, experiment; parameters start, until (created_at; of an experiment the time of its last change)
-- digest: the first eight bytes of the MD5 of the whole fact, written as ids_processed and ids_outbox_facts write it.
-- The id of an assignment is experiment_id/user_id; one that was taken back is in no database.
select aggregate_type, created_at, id, ('x' || left(md5(fact), 16))::bit(64)::bigint as digest
from (
    select 'event' as aggregate_type, e.created_at, e.event_id::text as id,
           concat(e.event_id, E'\x1f', e.user_id, E'\x1f', e.event_type, E'\x1f', (extract(epoch from e.timestamp) * 1000000)::bigint, E'\x1f',
                  e.experiment_id, E'\x1f', e.variant_id, E'\x1f', v.key, E'\x1f', (extract(epoch from e.assignment_at) * 1000000)::bigint, E'\x1f',
                  '+' || e.session_id, E'\x1f', '+' || e.request_id, E'\x1f', (extract(epoch from e.created_at) * 1000000)::bigint, E'\x1f',
                  e.properties) as fact
    from events e left join variants v on v.variant_id = e.variant_id
    where e.created_at >= %(start)s and e.created_at < %(until)s
      and e.received_on between (%(start)s::timestamptz at time zone 'UTC')::date and (%(until)s::timestamptz at time zone 'UTC')::date
    union all
    select 'assignment', a.created_at, concat(a.experiment_id, '/', a.user_id),
           concat(a.experiment_id, E'\x1f', x.key, E'\x1f', a.user_id, E'\x1f', a.variant_id, E'\x1f', v.key, E'\x1f',
                  (extract(epoch from a.assigned_at) * 1000000)::bigint, E'\x1f', a.source, E'\x1f', a.attributes, E'\x1f',
                  (extract(epoch from a.created_at) * 1000000)::bigint)
    from assignments a left join variants v on v.variant_id = a.variant_id left join experiments x on x.experiment_id = a.experiment_id
    where a.created_at >= %(start)s and a.created_at < %(until)s
    union all
    select 'experiment', updated_at, key,
           concat(experiment_id, E'\x1f', key, E'\x1f', name, E'\x1f', status, E'\x1f', revision, E'\x1f',
                  (extract(epoch from started_at) * 1000000)::bigint, E'\x1f', (extract(epoch from stopped_at) * 1000000)::bigint, E'\x1f',
                  (extract(epoch from created_at) * 1000000)::bigint, E'\x1f', (extract(epoch from updated_at) * 1000000)::bigint)
    from experiments
    where updated_at >= %(start)s and updated_at < %(until)s and revision > 0
) facts
