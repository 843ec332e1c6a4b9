-- 270_results_trust.sql (ClickHouse): what a decision stands on, and the results by dimension
-- Grain:  as in 250; experiment_segments: experiment × dimension × segment × metric × variant × cut-off; experiment_dimensions:
--         experiment × dimension × metric × treatment × cut-off
-- From:   neonblue_pipeline (assets/significance)   To: sql/read/experiment_results, _quality, _segments, _dimensions, _history
-- Time:   as in 250
-- Rerun:  safe; adds what is missing, replaces the views
-- Apply:  again
alter table experiment_results_rows
    -- Confidence sequence of the CUPED estimate: where there is one, decisions read it.
    add column if not exists cuped_seq_abs_low     Nullable(Float64),
    add column if not exists cuped_seq_abs_high    Nullable(Float64),
    add column if not exists cuped_seq_abs_p_value Nullable(Float64),
    add column if not exists cuped_seq_rel_low     Nullable(Float64),
    add column if not exists cuped_seq_rel_high    Nullable(Float64),
    add column if not exists cuped_seq_rel_p_value Nullable(Float64),
    -- As seq_adjusted_p_value, of the sequences that decisions read; null for a guardrail.
    add column if not exists decisive_p_value      Nullable(Float64),
    -- Of no difference in the 14 days before the assignment.
    add column if not exists pre_period_p_value    Nullable(Float64),
    -- Where the comparison stands, as a fraction of the control's mean; power is that of the sequence that decides.
    add column if not exists minimum_effect        Nullable(Float64),
    add column if not exists power                 Nullable(Float64),
    add column if not exists detectable_effect     Nullable(Float64),
    add column if not exists users_needed          Nullable(Float64),   -- of control and treatment together
    add column if not exists days_left             Nullable(Float64);

alter table experiment_quality_rows
    add column if not exists sample_ratio_anytime_p_value Nullable(Float64),
    -- Users and planned weights of each phase, and the p-value of its own split.
    add column if not exists phases Array(Tuple(phase UInt32, users Map(String, UInt64), weights Map(String, Float64), p_value Nullable(Float64))),
    add column if not exists crossed_users UInt64,          -- seen in several variants, left out
    add column if not exists crossed_share Nullable(Float64);

create table if not exists experiment_segments_rows (
    experiment_id         UInt64,
    cutoff_at             DateTime64(6, 'UTC'),
    dimension             LowCardinality(String),
    segment               String,                         -- empty: the user did not tell
    metric                LowCardinality(String),
    position              UInt32,
    variant_id            UInt64,
    variant               String,
    is_control            Bool,
    users                 UInt64,
    sum                   Nullable(Float64),
    mean                  Nullable(Float64),
    abs_estimate          Nullable(Float64),
    abs_low               Nullable(Float64),
    abs_high              Nullable(Float64),
    abs_p_value           Nullable(Float64),
    rel_estimate          Nullable(Float64),
    rel_low               Nullable(Float64),
    rel_high              Nullable(Float64),
    rel_p_value           Nullable(Float64),
    seq_rel_low           Nullable(Float64),
    seq_rel_high          Nullable(Float64),
    seq_rel_p_value       Nullable(Float64),
    adjusted_p_value      Nullable(Float64),              -- of abs_p_value: Holm over metrics × treatments × dimensions × segments
    sample_ratio_p_value  Nullable(Float64),              -- of the segment: Holm over dimensions × segments
    sample_ratio_mismatch Bool,
    warning               String                          -- of the segment's split; empty: none
)
engine = ReplacingMergeTree
partition by toYYYYMM(cutoff_at)
order by (experiment_id, cutoff_at, dimension, metric, variant_id, segment);

create table if not exists experiment_dimensions_rows (
    experiment_id                UInt64,
    cutoff_at                    DateTime64(6, 'UTC'),
    dimension                    LowCardinality(String),
    metric                       LowCardinality(String),
    position                     UInt32,
    variant_id                   UInt64,
    variant                      String,
    known_before                 Bool,                    -- by assignment attributes alone: no variant can have changed it
    interaction_p_value          Nullable(Float64),       -- of one lift in all segments
    interaction_adjusted_p_value Nullable(Float64),       -- Holm over metrics × treatments × dimensions
    differs                      Bool,
    -- Post-stratified by the dimension; null where it may have been changed by a variant, and for a ratio.
    strat_abs_estimate           Nullable(Float64),
    strat_abs_low                Nullable(Float64),
    strat_abs_high               Nullable(Float64),
    strat_abs_p_value            Nullable(Float64),
    strat_rel_estimate           Nullable(Float64),
    strat_rel_low                Nullable(Float64),
    strat_rel_high               Nullable(Float64),
    strat_rel_p_value            Nullable(Float64),
    strat_variance_removed       Nullable(Float64),
    warning                      String                   -- that segments differ; empty: they do not
)
engine = ReplacingMergeTree
partition by toYYYYMM(cutoff_at)
order by (experiment_id, cutoff_at, dimension, metric, variant_id);

create or replace view experiment_results as
select * from experiment_results_rows final;

create or replace view experiment_quality as
select * from experiment_quality_rows final;

create or replace view experiment_segments as
select * from experiment_segments_rows final;

create or replace view experiment_dimensions as
select * from experiment_dimensions_rows final;
