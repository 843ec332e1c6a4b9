-- 085_publish_experiment.sql (PostgreSQL): an experiment's definition on its way to ClickHouse
-- Grain:  one outbox row per call, the whole definition at a new revision; the last of a deleted one has the status deleted
-- From:   neonblue_api, in the transaction that changed the experiment, its variants or its metrics
-- Rerun:  safe; replaces the functions
create or replace function experiment_payload(x experiments) returns jsonb
language sql stable as $$
    select jsonb_build_object(
        'experiment_id', x.experiment_id, 'key', x.key, 'name', x.name, 'status', x.status, 'revision', x.revision,
        'started_at', utc_text(x.started_at), 'stopped_at', utc_text(x.stopped_at),
        'created_at', utc_text(x.created_at), 'updated_at', utc_text(x.updated_at), 'coverage', x.coverage,
        'phases', (select coalesce(jsonb_agg(jsonb_build_object(
                       'phase', p.phase, 'began_at', utc_text(p.began_at), 'ended_at', utc_text(p.ended_at),
                       'coverage', p.coverage, 'weights', p.weights) order by p.phase), '[]')
                   from experiment_phases p where p.experiment_id = x.experiment_id),
        'variants', (select coalesce(jsonb_agg(jsonb_build_object(
                         'variant_id', v.variant_id, 'key', v.key, 'weight', v.weight, 'is_control', v.is_control)
                         order by v.position), '[]')
                     from variants v where v.experiment_id = x.experiment_id),
        'metrics', (select coalesce(jsonb_agg(jsonb_build_object(
                        'key', m.key, 'kind', m.kind, 'event_type', m.event_type, 'value_property', m.value_property,
                        'direction', m.direction, 'role', em.role, 'definition', m.definition) order by em.position), '[]')
                    from experiment_metrics em join metrics m using (metric_id) where em.experiment_id = x.experiment_id))
$$;

create or replace function publish_experiment(changed_id bigint) returns bigint
language plpgsql as $$
declare
    published_at timestamptz := begin_intake();
    x            experiments;
begin
    update experiments set revision = revision + 1, updated_at = published_at where experiment_id = changed_id returning * into strict x;
    insert into outbox_log (aggregate_id, aggregate_type, event_type, partition_key, payload, created_at)
    values (x.key, 'experiment', 'EXPERIMENT_CHANGED', x.key, experiment_payload(x), published_at);
    return x.revision;
end $$;

-- Deletes a draft, of which nothing else tells, and tells so.
create or replace function delete_draft(deleted_id bigint) returns void
language plpgsql as $$
declare
    deleted_at timestamptz := begin_intake();
    x          experiments;
begin
    select * into strict x from experiments where experiment_id = deleted_id for update;
    x.revision := x.revision + 1;
    x.updated_at := deleted_at;
    insert into outbox_log (aggregate_id, aggregate_type, event_type, partition_key, payload, created_at)
    values (x.key, 'experiment', 'EXPERIMENT_DELETED', x.key, experiment_payload(x) || '{"status": "deleted"}', deleted_at);
    delete from experiment_metrics where experiment_id = deleted_id;
    delete from variants where experiment_id = deleted_id;
    delete from experiments where experiment_id = deleted_id;
end $$;
