-- experiment_history.sql (ClickHouse): one experiment's results over time
-- Grain:  cut-off × metric × treatment, oldest first: the last cut-off of each step; parameters experiment_id, metric ('' for all),
--         step ('cutoff', 'hour', 'day'), limit
-- Units:  *abs_* in the metric's unit, *rel_* as fractions of the control's mean; p-values in 0..1; null where undefined
-- Of cut-offs older than two days the last of each day is kept.
select cutoff_at, metric, variant, users, mean, abs_estimate, abs_low, abs_high, abs_p_value, rel_estimate, rel_low, rel_high, rel_p_value,
       seq_rel_low, seq_rel_high, seq_rel_p_value, adjusted_p_value, decisive_p_value, power
from experiment_results
where experiment_id = {experiment_id:UInt64} and not is_control and ({metric:String} = '' or metric = {metric:String})
  and cutoff_at in (
      select max(cutoff_at)
      from experiment_quality_rows
      where experiment_id = {experiment_id:UInt64}
      group by multiIf({step:String} = 'day', toStartOfDay(cutoff_at), {step:String} = 'hour', toStartOfHour(cutoff_at), cutoff_at)
      order by max(cutoff_at) desc
      limit {limit:UInt32}
  )
order by cutoff_at, position
