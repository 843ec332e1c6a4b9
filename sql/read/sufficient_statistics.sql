-- sufficient_statistics.sql (ClickHouse): all that the tests need, of all experiments at once
-- Grain:  experiment × metric × variant; a metric that was never measured and a variant without users have their rows
-- Units:  users: all assigned (as assigned); sum, mean in the metric's unit; centred_squares: sum of (x - mean)² over all users, those without
--         events at 0; for proportions x is 1 for a user with an event
-- Time:   cutoff_at is the acceptance of the experiment's last fact
-- Values are added in sorted order: the same rows give the same bits.
with
    per_user as (
        select experiment_id, metric, variant_id, user_id, arraySum(arraySort(groupArray(value_sum))) as value
        from user_rollup
        group by experiment_id, metric, variant_id, user_id
    ),
    cells as (
        select experiment_id, metric, variant_id, count() as active, arraySort(groupArray(value)) as sorted,
               arraySum(sorted) as value_sum, value_sum / active as active_mean,
               arraySum(x -> (x - active_mean) * (x - active_mean), sorted) as active_squares
        from per_user
        group by experiment_id, metric, variant_id
    ),
    assigned as (
        select experiment_id, variant_id, count() as users, max(created_at) as last_accepted_at
        from assignments_mv
        group by experiment_id, variant_id
    ),
    last_facts as (
        select experiment_id, max(at) as at
        from (
            select experiment_id, max(last_accepted_at) as at from user_journeys group by experiment_id
            union all
            select experiment_id, max(last_accepted_at) as at from assigned group by experiment_id
            union all
            select experiment_id, updated_at as at from experiment_definitions
        )
        group by experiment_id
    )
select v.experiment_id as experiment_id, f.at as cutoff_at, m.metric as metric, m.position as metric_position, m.kind as kind,
       m.direction as direction, m.role as role, m.definition as definition,
       v.variant_id as variant_id, v.position as variant_position, v.variant_key as variant, v.weight as weight, v.is_control as is_control,
       a.users as assigned, a.users as users, c.active as active,
       if(m.kind = 'proportion', toFloat64(c.active), c.value_sum) as sum,
       sum / users as mean,
       -- Active users around their own mean, joined with those at 0: Chan, Golub and LeVeque (1979), eq. 2.1.
       if(m.kind = 'proportion', toFloat64(c.active) * (users - c.active) / users,
          c.active_squares + c.active_mean * c.active_mean * c.active * (users - c.active) / users) as centred_squares
from experiment_variants as v
inner join last_facts as f on f.experiment_id = v.experiment_id
left join experiment_metrics as m on m.experiment_id = v.experiment_id
left join assigned as a on a.experiment_id = v.experiment_id and a.variant_id = v.variant_id
left join cells as c on c.experiment_id = v.experiment_id and c.metric = m.metric and c.variant_id = v.variant_id
order by experiment_id, metric_position, variant_position
