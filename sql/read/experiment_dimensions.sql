-- experiment_dimensions.sql (ClickHouse): whether the segments of a dimension differ, at the latest cut-off
-- Grain:  dimension × metric × treatment; parameters experiment_id, dimension ('' for all)
-- Units:  *abs_* in the metric's unit, *rel_* as fractions of the control's mean; p-values in 0..1; null where undefined
select dimension, metric, variant, known_before, interaction_p_value, interaction_adjusted_p_value, differs,
       strat_abs_estimate, strat_abs_low, strat_abs_high, strat_abs_p_value,
       strat_rel_estimate, strat_rel_low, strat_rel_high, strat_rel_p_value, strat_variance_removed, warning, cutoff_at
from experiment_dimensions
where experiment_id = {experiment_id:UInt64}
  and cutoff_at = (select max(cutoff_at) from experiment_quality_rows where experiment_id = {experiment_id:UInt64})
  and ({dimension:String} = '' or dimension = {dimension:String})
order by dimension, position
