-- 096_resend_facts.sql (PostgreSQL): sending facts again whose outbox rows were dropped
-- Grain:  one call per aggregate type and span of acceptance; a row through outbox_replay for each fact
-- From:   neonblue_pipeline (replay)     To: Debezium, as in 095; the payloads are those of 070, 080 and 085
-- Rerun:  safe; replaces the function
-- The rows get new outbox ids: an event never changes, and of an assignment or an experiment the row is locked before its
-- number is drawn, so that a change that comes later has a higher one. Returns how many were sent.
create or replace function resend_facts(of_type text, first timestamptz, until timestamptz) returns bigint
language plpgsql as $$
declare
    numbers constant text := pg_get_serial_sequence('outbox_log', 'id');
    sent    bigint;
begin
    if of_type = 'event' then
        insert into outbox_replay (id, aggregate_id, aggregate_type, event_type, partition_key, payload, created_at)
        select nextval(numbers), e.event_id::text, 'event', 'EVENT_CREATED', e.user_id,
               jsonb_build_object(
                   'id', e.event_id, 'user_id', e.user_id, 'event_type', e.event_type, 'timestamp', utc_text(e.timestamp),
                   'experiment_id', e.experiment_id, 'variant_id', e.variant_id, 'variant_key', v.key,
                   'assignment_at', utc_text(e.assignment_at), 'properties', e.properties::text,
                   'session_id', e.session_id, 'request_id', e.request_id, 'created_at', utc_text(e.created_at)),
               e.created_at
        from events e left join variants v on v.variant_id = e.variant_id
        where e.created_at >= first and e.created_at < until
          and e.received_on between (first at time zone 'UTC')::date and (until at time zone 'UTC')::date
        order by e.created_at;
    elsif of_type = 'assignment' then
        with held as materialized (
            select * from assignments where created_at >= first and created_at < until order by created_at for share
        )
        insert into outbox_replay (id, aggregate_id, aggregate_type, event_type, partition_key, payload, created_at)
        select nextval(numbers), x.key || '/' || a.user_id, 'assignment', 'ASSIGNMENT_CREATED', a.user_id,
               jsonb_build_object(
                   'experiment_id', a.experiment_id, 'experiment_key', x.key, 'user_id', a.user_id,
                   'variant_id', a.variant_id, 'variant_key', v.key, 'assigned_at', utc_text(a.assigned_at),
                   'source', a.source, 'attributes', a.attributes::text, 'created_at', utc_text(a.created_at), 'deleted', false),
               a.created_at
        from held a join experiments x using (experiment_id) join variants v using (variant_id);
    else
        with held as materialized (
            select x, x.key, x.updated_at from experiments x where updated_at >= first and updated_at < until and revision > 0 for share
        )
        insert into outbox_replay (id, aggregate_id, aggregate_type, event_type, partition_key, payload, created_at)
        select nextval(numbers), key, 'experiment', 'EXPERIMENT_CHANGED', key, experiment_payload(x), updated_at from held;
    end if;
    get diagnostics sent = row_count;
    delete from outbox_replay;
    return sent;
end $$;
