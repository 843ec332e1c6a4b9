-- mismatched_splits.sql (ClickHouse): running experiments whose users are not split as planned, at their last cut-off
-- Grain:  experiment
select d.key as experiment, q.p_value as p_value, q.users as users
from (
    select experiment_id, argMax(sample_ratio_mismatch, cutoff_at) as mismatch,
           argMax(sample_ratio_p_value, cutoff_at) as p_value, argMax(counts, cutoff_at) as users
    from experiment_quality group by experiment_id
) as q
join experiment_definitions as d on d.experiment_id = q.experiment_id
where q.mismatch and d.status = 'running'
order by experiment
