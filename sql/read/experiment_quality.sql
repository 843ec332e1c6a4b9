-- experiment_quality.sql (ClickHouse): whether the data of one experiment can be trusted, at its latest cut-off
-- Grain:  one row, none for an experiment never computed; parameter experiment_id
-- Warnings of the results by dimension at the same cut-off stand behind the others.
select cutoff_at, counts, sample_ratio_p_value, sample_ratio_mismatch,
       arrayConcat(warnings, (
           select arraySort(groupUniqArray(warning))
           from (
               select cutoff_at, warning from experiment_segments where experiment_id = {experiment_id:UInt64} and warning != ''
               union all
               select cutoff_at, warning from experiment_dimensions where experiment_id = {experiment_id:UInt64} and warning != ''
           )
           where cutoff_at = (select max(cutoff_at) from experiment_quality_rows where experiment_id = {experiment_id:UInt64})
       )) as warnings,
       decisions, sample_ratio_anytime_p_value, phases, crossed_users, crossed_share
from experiment_quality
where experiment_id = {experiment_id:UInt64}
order by cutoff_at desc
limit 1
