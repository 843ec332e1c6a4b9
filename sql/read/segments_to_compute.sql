-- segments_to_compute.sql (ClickHouse): experiments whose results by dimension may differ from those that are written
-- Grain:  experiment; users: all that are assigned and compared
-- Time:   a cut-off of less than an hour is computed again: facts accepted before it may still arrive. An older one if facts
--         that came later have changed the experiment's results: {rewritten}
-- Where no user has told anything there is nothing to tell users apart by; what was written once is kept up to date.
select c.experiment_id as experiment_id, a.users as users
from experiment_cutoffs as c
left join (select experiment_id, sum(users) as users, sum(told) as told from assigned_counts group by experiment_id) as a on a.experiment_id = c.experiment_id
left join (select experiment_id, max(cutoff_at) as at from experiment_segments_rows group by experiment_id) as s
    on s.experiment_id = c.experiment_id
where (s.at < c.cutoff_at or c.cutoff_at > now64(6) - toIntervalHour(1) or c.experiment_id in {rewritten:Array(UInt64)})
  and (a.told > 0 or s.at > toDateTime64(0, 6, 'UTC') or exists(select 1 from user_days where device != '' or browser != ''))
order by experiment_id
