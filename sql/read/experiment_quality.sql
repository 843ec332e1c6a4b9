-- experiment_quality.sql (ClickHouse): whether the data of one experiment can be trusted, at its latest cut-off
-- Grain:  one row, none for an experiment never computed; parameter experiment_id
select cutoff_at, counts, sample_ratio_p_value, sample_ratio_mismatch, warnings, decisions
from experiment_quality
where experiment_id = {experiment_id:UInt64}
order by cutoff_at desc
limit 1
