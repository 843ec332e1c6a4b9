-- users_in_several_variants.sql (ClickHouse): users seen in more than one variant of a running experiment
-- Grain:  experiment with any; users: all that are assigned, those included
select d.key as experiment, c.crossed as crossed, a.users as users
from (select experiment_id, count() as crossed from users_in_several_variants group by experiment_id) as c
join (select experiment_id, count() as users from assignments_mv group by experiment_id) as a on a.experiment_id = c.experiment_id
join experiment_definitions as d on d.experiment_id = c.experiment_id
where d.status = 'running'
order by experiment
