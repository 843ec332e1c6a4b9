-- 260_results_methods.sql (ClickHouse): further methods beside the fixed-horizon effects of 250
-- Grain:  as in 250: experiment_results: experiment × metric × variant × cut-off; experiment_quality: experiment × cut-off
-- From:   neonblue_pipeline (assets/significance)   To: sql/read/experiment_results, experiment_quality
-- Time:   as in 250
-- Rerun:  safe; adds the columns that are missing, replaces the views
-- Apply:  again
-- Rows written before a column was there have null in it: the method was not computed at that cut-off.
alter table experiment_results_rows
    -- Confidence sequence: valid at every look.
    add column if not exists seq_abs_low             Nullable(Float64),
    add column if not exists seq_abs_high            Nullable(Float64),
    add column if not exists seq_abs_p_value         Nullable(Float64),
    add column if not exists seq_rel_low             Nullable(Float64),
    add column if not exists seq_rel_high            Nullable(Float64),
    add column if not exists seq_rel_p_value         Nullable(Float64),
    -- Gaussian posterior with a flat prior.
    add column if not exists bayes_abs_low           Nullable(Float64),
    add column if not exists bayes_abs_high          Nullable(Float64),
    add column if not exists bayes_abs_chance_to_win Nullable(Float64),
    add column if not exists bayes_abs_expected_loss Nullable(Float64),
    add column if not exists bayes_rel_low           Nullable(Float64),
    add column if not exists bayes_rel_high          Nullable(Float64),
    add column if not exists bayes_rel_chance_to_win Nullable(Float64),
    add column if not exists bayes_rel_expected_loss Nullable(Float64),
    -- Holm over the experiment's target and secondary metrics × variants; null for a guardrail.
    add column if not exists adjusted_p_value        Nullable(Float64),
    add column if not exists seq_adjusted_p_value    Nullable(Float64),
    -- CUPED with the same metric of the 14 days before the assignment; null where no user had a history.
    add column if not exists history_users           Nullable(UInt64),
    add column if not exists cuped_abs_estimate      Nullable(Float64),
    add column if not exists cuped_abs_low           Nullable(Float64),
    add column if not exists cuped_abs_high          Nullable(Float64),
    add column if not exists cuped_abs_p_value       Nullable(Float64),
    add column if not exists cuped_rel_estimate      Nullable(Float64),
    add column if not exists cuped_rel_low           Nullable(Float64),
    add column if not exists cuped_rel_high          Nullable(Float64),
    add column if not exists cuped_rel_p_value       Nullable(Float64),
    add column if not exists cuped_variance_removed  Nullable(Float64),      -- 0.4: 40 % fewer users are needed
    -- Of a ratio: mean is sum / denominator_sum.
    add column if not exists denominator_sum         Nullable(Float64);

alter table experiment_quality_rows
    -- For each treatment; verdict: ship, roll_back, keep_running, no_effect, not_trusted.
    add column if not exists decisions Array(Tuple(variant String, verdict String, reasons Array(String), would_change Array(String)));

create or replace view experiment_results as
select * from experiment_results_rows final;

create or replace view experiment_quality as
select * from experiment_quality_rows final;
