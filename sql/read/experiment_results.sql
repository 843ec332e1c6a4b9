-- experiment_results.sql (ClickHouse): the published result of one experiment at its latest cut-off
-- Grain:  metric × variant, in the order of the definition; parameter experiment_id
-- Units:  abs_* in the metric's unit, rel_* as fractions of the control's mean; null where undefined
select metric, kind, variant, is_control, users, sum, mean,
       abs_estimate, abs_low, abs_high, abs_p_value, rel_estimate, rel_low, rel_high, rel_p_value, cutoff_at
from experiment_results
where experiment_id = {experiment_id:UInt64}
  and cutoff_at = (select max(cutoff_at) from experiment_quality_rows where experiment_id = {experiment_id:UInt64})
order by position
