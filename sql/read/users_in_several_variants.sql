-- users_in_several_variants.sql (ClickHouse): users whose events of the last day name more than one variant of an experiment
-- Grain:  experiment; active: its users with such events
select d.key as experiment, countIf(u.variants > 1) as crossed, count() as active
from (
    select experiment_id, user_id, uniqExact(variant_id) as variants
    from events_processed
    where experiment_id is not null and created_at > now64(6) - toIntervalDay(1)
    group by experiment_id, user_id
) as u
join experiment_definitions as d on d.experiment_id = u.experiment_id
group by experiment
having crossed > 0
order by experiment
