-- 080_accept_assignments.sql (PostgreSQL): the one way in for assignments
-- Grain:  one call per batch; the fact and its outbox row in one statement
-- From:   neonblue_api                To: assignments, outbox_log
-- Rerun:  safe; an assignment that exists stays as it is
-- Apply:  again
--
-- batch: array of {"experiment", "user_id", "variant_key", "assigned_at" | null, "source", "attributes" (object),
--        "request_id" | null, and perhaps the "revision" of the experiment by which the variant was chosen: at another one
--        nothing is created, and the outcome is that of an experiment that does not run}; (experiment, user_id) is distinct within a call.
-- Returns one row each, in order: position from 0, outcome and the assignment that now holds (null where there is none):
--        'created' · 'existing' (the same variant) · 'conflict' (the user has another variant) ·
--        'unknown_experiment' · 'unknown_variant' · 'not_running' (draft, stopped or archived) ·
--        'erased' (the user was, 062).
create or replace function accept_assignments(batch jsonb)
returns table (assignment_position int, outcome text, held_variant_key text, held_assigned_at timestamptz)
language plpgsql
set enable_seqscan = off   -- as in 070
set jit = off
as $$
#variable_conflict use_column
declare
    received_at timestamptz := begin_intake();
    pads        bytea := pads_if_needed();
    created     int[];
begin
    with incoming as materialized (
        select (e.ordinality - 1)::int as position, x.experiment_id, x.experiment_key, x.variant_id, x.variant_key,
               e.value ->> 'user_id' as user_id,
               coalesce((e.value ->> 'assigned_at')::timestamptz, received_at) as assigned_at,
               e.value ->> 'source' as source,
               coalesce(e.value -> 'attributes', '{}') as attributes,
               e.value ->> 'request_id' as request_id
        from jsonb_array_elements(batch) with ordinality as e
        -- Lateral, here and below: each is looked up by its key, and the planner does not take the batch for one row.
        join lateral (
            select x.experiment_id, x.key as experiment_key, v.variant_id, v.key as variant_key
            from experiments x join variants v using (experiment_id)
            where x.key = e.value ->> 'experiment' and x.status = 'running' and v.key = e.value ->> 'variant_key'
              and x.revision = coalesce((e.value ->> 'revision')::bigint, x.revision) limit 1) x on true
        where pads is null or not exists (select from erasures where subject = user_subject(e.value ->> 'user_id', pads))
    ),
    stored as (
        insert into assignments (experiment_id, user_id, variant_id, assigned_at, source, attributes, request_id, created_at)
        select experiment_id, user_id, variant_id, assigned_at, source, attributes, request_id, received_at
        from incoming order by experiment_id, user_id
        on conflict do nothing
        returning experiment_id, user_id
    ),
    shipped as (
        insert into outbox_log (aggregate_id, aggregate_type, event_type, partition_key, payload, created_at)
        select experiment_key || '/' || user_id, 'assignment', 'ASSIGNMENT_CREATED', user_id,
               json_build_object(
                   'experiment_id', experiment_id, 'experiment_key', experiment_key, 'user_id', user_id,
                   'variant_id', variant_id, 'variant_key', variant_key, 'assigned_at', utc_text(assigned_at),
                   'source', source, 'attributes', attributes::text, 'created_at', utc_text(received_at), 'deleted', false),
               received_at
        from incoming join stored using (experiment_id, user_id)
        order by position
    )
    select coalesce(array_agg(position), '{}') into created
    from incoming join stored using (experiment_id, user_id);

    return query
    select (e.ordinality - 1)::int,
           case when (e.ordinality - 1)::int = any (created) then 'created'
                when pads is not null and exists (select from erasures where subject = user_subject(e.value ->> 'user_id', pads)) then 'erased'
                when a.variant_id is not null and h.key = e.value ->> 'variant_key' then 'existing'
                when x.experiment_id is null then 'unknown_experiment'
                when named.variant_id is null then 'unknown_variant'
                when a.variant_id is not null then 'conflict'
                else 'not_running' end,
           h.key, a.assigned_at
    from jsonb_array_elements(batch) with ordinality as e
    left join experiments x on x.key = e.value ->> 'experiment'
    left join lateral (
        select variant_id, assigned_at from assignments
        where experiment_id = x.experiment_id and user_id = e.value ->> 'user_id' limit 1) a on true
    left join variants h on h.variant_id = a.variant_id
    left join variants named on named.experiment_id = x.experiment_id and named.key = e.value ->> 'variant_key'
    order by 1;
end $$;
