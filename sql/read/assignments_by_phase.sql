-- assignments_by_phase.sql (ClickHouse): how many users each phase of an experiment gave to each variant
-- Grain:  experiment × dimension × segment × phase × variant, with users; dimension '' is the experiment as a whole, the others
--         are what user_segments holds
-- Units:  weight: the variant's share in that phase; null where the phase had not the variant
-- A user belongs to the phase that had begun by the assignment, or to the first. Without phases (published before they were
-- told) the present weights are phase 0.
with phases as (
    select experiment_id, groupArray(began) as begun, groupArray(shares) as weights, groupArray(number) as numbers
    from (
        select experiment_id, assumeNotNull(began_at) as began, weights as shares, phase as number
        from experiment_phases where began_at is not null order by experiment_id, number
    )
    group by experiment_id
)
select u.experiment_id as experiment_id, u.dimension as dimension, u.segment as segment,
       greatest(arrayCount(began -> began <= u.assigned_at, p.begun), 1) as place, p.numbers[place] as phase,
       v.variant_id as variant_id, v.variant_key as variant,
       multiIf(empty(p.begun), v.weight, mapContains(p.weights[place], v.variant_key), p.weights[place][v.variant_key], null) as weight,
       count() as users
from (
    select experiment_id, '' as dimension, '' as segment, variant_id, assigned_at from assigned_users
    union all
    select experiment_id, toString(dimension) as dimension, segment, variant_id, assigned_at from user_segments
) as u
inner join experiment_variants as v on v.experiment_id = u.experiment_id and v.variant_id = u.variant_id
left join phases as p on p.experiment_id = u.experiment_id
group by experiment_id, dimension, segment, place, phase, variant_id, variant, weight
order by experiment_id, dimension, segment, phase, variant_id
