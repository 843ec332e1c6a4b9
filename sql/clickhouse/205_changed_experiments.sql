-- 205_changed_experiments.sql (ClickHouse): the experiments whose summary and results may differ from what is written
-- Grain:  experiment, or several times the same
-- From:   rollups/changed_experiments, with each build       To: experiment_summary, compared/*.sql; empty once results are written
-- Rerun:  safe; creates what is missing, and has results of all experiments made
create table if not exists changed_experiments (
    experiment_id UInt64,
    marked_at     DateTime64(6, 'UTC') default now64(6)
)
engine = MergeTree
order by experiment_id;

insert into changed_experiments (experiment_id) select experiment_id from experiment_definitions;
