-- pending_rollups.sql (ClickHouse): whether rollups and results have anything to do
-- Grain:  one row; oldest_at is null when nothing is pending. experiments: those whose results were not written after a build
select
    (select count() from dirty_days) as blocks_of_events,
    (select count() from dirty_assignments) as assignments,
    (select count() from experiment_definitions as d
     left join (select * from rolled_definitions final) as r on r.experiment_id = d.experiment_id
     where d.revision != r.revision) as definitions,
    (select uniqExact(experiment_id) from changed_experiments) as experiments,
    (select minOrNull(marked_at) from (
        select marked_at from dirty_days union all select marked_at from dirty_assignments union all select marked_at from changed_experiments
    )) as oldest_at
