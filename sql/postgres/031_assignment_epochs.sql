-- 031_assignment_epochs.sql (PostgreSQL): how often assignments of an experiment were taken back or changed
-- Grain:  one row per experiment of which an assignment was ever deleted or updated
-- From:   a trigger on assignments    To: neonblue_api/known.py, whose copies of assignments are void at another epoch
-- Time:   a row grows in the transaction that deletes, so that both are seen at once
-- Rerun:  safe; creates what is missing, replaces the function and the trigger
-- Apply:  again
create table if not exists assignment_epochs (
    experiment_id  bigint primary key,
    epoch          bigint not null
);

create or replace function next_assignment_epoch() returns trigger
language plpgsql as $$
begin
    -- In the order of the experiments, so that two deleters cannot lock each other out.
    insert into assignment_epochs as e (experiment_id, epoch)
    select distinct experiment_id, 1 from gone order by 1
    on conflict (experiment_id) do update set epoch = e.epoch + 1;
    return null;
end $$;

create or replace trigger assignments_deleted after delete on assignments
    referencing old table as gone for each statement execute function next_assignment_epoch();
create or replace trigger assignments_updated after update on assignments
    referencing old table as gone for each statement execute function next_assignment_epoch();
