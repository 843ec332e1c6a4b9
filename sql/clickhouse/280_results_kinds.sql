-- 280_results_kinds.sql (ClickHouse): what only some kinds of metrics have in their results
-- Grain:  as in 250: experiment × metric × variant × cut-off
-- From:   neonblue_pipeline (assets/significance)   To: sql/read/experiment_results
-- Time:   as in 250
-- Rerun:  safe; adds what is missing, replaces the view
-- Apply:  again
alter table experiment_results_rows
    -- What gave the fixed p-value: z, welch, delta, quantile, barnard or fisher; null for the control and where there is none.
    add column if not exists test            Nullable(String),
    -- The most that a user's sum counts for, absolute or by percentile.
    add column if not exists cap             Nullable(Float64),
    -- Of a quantile: its level, number of values, the quantile and its 95 % interval.
    add column if not exists quantile        Nullable(Float64),
    add column if not exists quantile_values Nullable(UInt64),
    add column if not exists quantile_value  Nullable(Float64),
    add column if not exists quantile_low    Nullable(Float64),
    add column if not exists quantile_high   Nullable(Float64),
    -- Of a funnel, a step each: users who did it after those before, their share of all and of the step before, the effect on both.
    add column if not exists funnel Array(Tuple(event_type String, users UInt64, of_all Float64, of_previous Nullable(Float64),
        estimate Nullable(Float64), low Nullable(Float64), high Nullable(Float64), p_value Nullable(Float64),
        previous_estimate Nullable(Float64), previous_low Nullable(Float64), previous_high Nullable(Float64),
        previous_p_value Nullable(Float64)));

create or replace view experiment_results as
select * from experiment_results_rows final;
