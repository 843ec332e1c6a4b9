-- 250_results.sql (ClickHouse): what the experiments say, at every cut-off
-- Grain:  experiment_results: experiment × metric × variant × cut-off; experiment_quality: experiment × cut-off
-- From:   neonblue_pipeline (assets/significance)   To: sql/read/experiment_results, experiment_quality
-- Time:   cutoff_at is the acceptance (PostgreSQL's clock) of the last fact of the experiment that is in
-- Rerun:  safe; creates what is missing, changes nothing that exists
-- The same cut-off computed again replaces its rows. null: undefined (no users, no variation, control mean of 0).
create table if not exists experiment_results_rows (
    experiment_id UInt64,
    cutoff_at     DateTime64(6, 'UTC'),
    metric        LowCardinality(String),
    position      UInt32,
    kind          LowCardinality(String),
    direction     LowCardinality(String),
    role          LowCardinality(String),
    variant_id    UInt64,
    variant       String,
    is_control    Bool,
    users         UInt64,
    sum           Nullable(Float64),
    mean          Nullable(Float64),
    abs_estimate  Nullable(Float64),
    abs_low       Nullable(Float64),
    abs_high      Nullable(Float64),
    abs_p_value   Nullable(Float64),
    rel_estimate  Nullable(Float64),
    rel_low       Nullable(Float64),
    rel_high      Nullable(Float64),
    rel_p_value   Nullable(Float64)
)
engine = ReplacingMergeTree
partition by toYYYYMM(cutoff_at)
order by (experiment_id, cutoff_at, metric, variant_id);

create table if not exists experiment_quality_rows (
    experiment_id         UInt64,
    cutoff_at             DateTime64(6, 'UTC'),
    counts                Map(String, UInt64),            -- users per variant
    sample_ratio_p_value  Nullable(Float64),
    sample_ratio_mismatch Bool,                           -- p below neonblue_stats.sample_ratio.MISMATCH_P_VALUE
    warnings              Array(String)
)
engine = ReplacingMergeTree
partition by toYYYYMM(cutoff_at)
order by (experiment_id, cutoff_at);

create or replace view experiment_results as
select * from experiment_results_rows final;

create or replace view experiment_quality as
select * from experiment_quality_rows final;
