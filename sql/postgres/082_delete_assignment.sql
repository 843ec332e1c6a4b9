-- 082_delete_assignment.sql (PostgreSQL): taking an assignment back
-- Grain:  one call per assignment; the deletion and its outbox row in one transaction
-- From:   neonblue_api                To: assignments, outbox_log
-- Rerun:  safe; replaces the function
--
-- It waits for the writers at work, and new ones for it: an event that names the experiment, accepted but not committed yet,
-- would not be seen, and would be left without its assignment.
-- Returns 'deleted' · 'in_use' (an event names the experiment and the user) · 'unknown_experiment' · 'not_assigned'.
create or replace function begin_intake_alone() returns timestamptz
language plpgsql as $$
declare
    today  date;
    moment timestamptz;
begin
    loop
        today := (clock_timestamp() at time zone 'UTC')::date;
        perform pg_advisory_xact_lock(hashtext('neonblue intake day'), today - date '2000-01-01');
        moment := begin_intake();
        if (moment at time zone 'UTC')::date = today then
            return moment;
        end if;
    end loop;
end $$;

create or replace function delete_assignment(of_experiment text, of_user text) returns text
language plpgsql as $$
declare
    deleted_at timestamptz := begin_intake_alone();
    x          experiments;
    a          assignments;
begin
    select * into x from experiments where key = of_experiment;
    if not found then
        return 'unknown_experiment';
    end if;
    select * into a from assignments where experiment_id = x.experiment_id and user_id = of_user for update;
    if not found then
        return 'not_assigned';
    end if;
    if exists (select from events e where e.user_id = of_user and e.experiment_id = x.experiment_id) then
        return 'in_use';
    end if;
    delete from assignments where experiment_id = x.experiment_id and user_id = of_user;
    insert into outbox_log (aggregate_id, aggregate_type, event_type, partition_key, payload, created_at)
    values (x.key || '/' || of_user, 'assignment', 'ASSIGNMENT_DELETED', of_user,
            jsonb_build_object(
                'experiment_id', x.experiment_id, 'experiment_key', x.key, 'user_id', of_user,
                'variant_id', a.variant_id, 'variant_key', (select key from variants where variant_id = a.variant_id),
                'assigned_at', utc_text(a.assigned_at), 'source', a.source, 'attributes', a.attributes::text,
                'created_at', utc_text(deleted_at), 'deleted', true),
            deleted_at);
    return 'deleted';
end $$;
