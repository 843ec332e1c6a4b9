-- segments_to_compute.sql (ClickHouse): experiments whose results by dimension may differ from those that are written
-- Grain:  experiment
-- Time:   a cut-off of less than an hour is computed again: facts accepted before it may still arrive
select c.experiment_id as experiment_id
from experiment_cutoffs as c
left join (select experiment_id, max(cutoff_at) as at from experiment_segments_rows group by experiment_id) as s
    on s.experiment_id = c.experiment_id
where s.at < c.cutoff_at or c.cutoff_at > now64(6) - toIntervalHour(1)
order by experiment_id
