-- experiment_summary: each variant as a whole; a variant without users has a row of zeros
-- What has not changed is carried over.
insert into experiment_summary_staging
select *
from experiment_summary
where experiment_id not in (select experiment_id from changed_experiments) and experiment_id in (select experiment_id from experiment_definitions)
union all
select v.experiment_id, v.variant_id, v.variant_key, v.is_control, a.users,
       j.active_users, j.exposed_users, j.converted_users, j.events, j.exposures, j.clicks, j.conversions, j.value_sum,
       if(j.events = 0, null, j.first_event_at), if(j.events = 0, null, j.last_event_at)
from (select * from experiment_variants where experiment_id in (select experiment_id from changed_experiments)) as v
left join (
    select experiment_id, variant_id, count() as users
    from assignments_mv
    where experiment_id in (select experiment_id from changed_experiments)
    group by experiment_id, variant_id
) as a on a.experiment_id = v.experiment_id and a.variant_id = v.variant_id
left join (
    select experiment_id, variant_id, count() as active_users, countIf(u.exposures > 0) as exposed_users, countIf(u.conversions > 0) as converted_users,
           sum(u.events) as events, sum(u.exposures) as exposures, sum(u.clicks) as clicks, sum(u.conversions) as conversions,
           arraySum(arraySort(groupArrayArray(u.value_sums))) as value_sum, min(u.first_event_at) as first_event_at, max(u.last_event_at) as last_event_at
    from (
        select experiment_id, any(j.variant_id) as variant_id, sum(j.events) as events, sum(j.exposures) as exposures, sum(j.clicks) as clicks,
               sum(j.conversions) as conversions, groupArrayIf(j.value_sum, j.value_sum != 0) as value_sums,
               min(j.first_event_at) as first_event_at, max(j.last_event_at) as last_event_at
        from user_journeys as j
        where experiment_id in (select experiment_id from changed_experiments)
        group by experiment_id, user_id
    ) as u
    group by experiment_id, variant_id
) as j on j.experiment_id = v.experiment_id and j.variant_id = v.variant_id
-- Journeys lie in this order of users: one after the other they need no memory, however many there are.
settings optimize_aggregation_in_order = 1
