-- users_in_several_variants.sql (ClickHouse): users seen in more than one variant of an experiment
-- Grain:  one of {experiments} that has any; users: all that are assigned, those included
select d.key as experiment, c.crossed as crossed, a.users as users
from (
    select experiment_id, count() as crossed
    from users_in_several_variants(experiments = {experiments:Array(UInt64)})
    group by experiment_id
) as c
join (
    select experiment_id, count() as users from assignments_mv where experiment_id in {experiments:Array(UInt64)} group by experiment_id
) as a on a.experiment_id = c.experiment_id
join experiment_definitions as d on d.experiment_id = c.experiment_id
order by experiment
