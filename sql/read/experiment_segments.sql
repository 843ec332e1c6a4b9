-- experiment_segments.sql (ClickHouse): one experiment by the segments of its dimensions, at the latest cut-off
-- Grain:  dimension × metric × segment × variant; parameters experiment_id, dimension ('' for all)
-- Units:  *abs_* in the metric's unit, *rel_* as fractions of the control's mean; p-values in 0..1; null where undefined
select dimension, segment, metric, variant, is_control, users, sum, mean,
       abs_estimate, abs_low, abs_high, abs_p_value, rel_estimate, rel_low, rel_high, rel_p_value,
       seq_rel_low, seq_rel_high, seq_rel_p_value, adjusted_p_value, sample_ratio_p_value, sample_ratio_mismatch, warning, cutoff_at
from experiment_segments
where experiment_id = {experiment_id:UInt64}
  and cutoff_at = (select max(cutoff_at) from experiment_quality_rows where experiment_id = {experiment_id:UInt64})
  and ({dimension:String} = '' or dimension = {dimension:String})
order by dimension, intDiv(position, 1000), segment, position
