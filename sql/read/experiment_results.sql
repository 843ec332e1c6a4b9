-- experiment_results.sql (ClickHouse): the published result of one experiment at its latest cut-off
-- Grain:  metric × variant, in the order of the definition; parameter experiment_id
-- Units:  *abs_* in the metric's unit, *rel_* as fractions of the control's mean; chances and p-values in 0..1; null where undefined
select metric, kind, variant, is_control, users, sum, mean,
       abs_estimate, abs_low, abs_high, abs_p_value, rel_estimate, rel_low, rel_high, rel_p_value,
       seq_abs_low, seq_abs_high, seq_abs_p_value, seq_rel_low, seq_rel_high, seq_rel_p_value,
       bayes_abs_low, bayes_abs_high, bayes_abs_chance_to_win, bayes_abs_expected_loss,
       bayes_rel_low, bayes_rel_high, bayes_rel_chance_to_win, bayes_rel_expected_loss,
       adjusted_p_value, seq_adjusted_p_value, history_users, denominator_sum,
       cuped_abs_estimate, cuped_abs_low, cuped_abs_high, cuped_abs_p_value,
       cuped_rel_estimate, cuped_rel_low, cuped_rel_high, cuped_rel_p_value, cuped_variance_removed,
       cuped_seq_abs_low, cuped_seq_abs_high, cuped_seq_abs_p_value, cuped_seq_rel_low, cuped_seq_rel_high, cuped_seq_rel_p_value,
       decisive_p_value, pre_period_p_value, minimum_effect, power, detectable_effect, users_needed, days_left,
       test, cap, quantile, quantile_values, quantile_value, quantile_low, quantile_high, funnel, cutoff_at
from experiment_results
where experiment_id = {experiment_id:UInt64}
  and cutoff_at = (select max(cutoff_at) from experiment_quality_rows where experiment_id = {experiment_id:UInt64})
order by position
