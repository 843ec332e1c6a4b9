-- assignments_by_phase.sql (ClickHouse): how many users each phase of an experiment gave to each variant
-- Grain:  experiment × dimension × segment × phase with users: with {of_segments} of what user_segments holds; without, of each
--         experiment as a whole, whose dimension is ''
-- Units:  users: variant → compared users (a variant without users is left out); weights: variant → its share in that phase
-- Without phases (published before they were told) the present weights are phase 0.
with
    present as (
        select experiment_id, mapFromArrays(groupArray(variant_key), groupArray(weight)) as weights
        from (select experiment_id, variant_key, weight from experiment_variants order by experiment_id, position)
        group by experiment_id
    )
-- What a phase gave to each variant is looked up once a group.
select c.experiment_id as experiment_id, c.dimension as dimension, c.segment as segment, if(empty(r.phases), 0, r.phases[c.place].2) as phase,
       any(if(empty(r.phases), n.weights, r.phases[c.place].3)) as weights,
       mapFromArrays(groupArray(v.variant_key), groupArray(c.number)) as users
from (
    select experiment_id, '' as dimension, '' as segment, variant_id, place, users as number
    from assigned_counts
    where not {of_segments:Bool}
    union all
    select u.experiment_id as experiment_id, toString(u.dimension) as dimension, u.segment as segment, u.variant_id as variant_id,
           toUInt32(greatest(arrayCount(began_at -> began_at <= u.assigned_at, b.began), 1)) as place, count() as number
    from user_segments as u
    left join (select experiment_id, phases.1 as began from experiment_runs) as b on b.experiment_id = u.experiment_id
    where {of_segments:Bool}
    group by experiment_id, dimension, segment, variant_id, place
) as c
inner join experiment_variants as v on v.experiment_id = c.experiment_id and v.variant_id = c.variant_id
inner join present as n on n.experiment_id = c.experiment_id
left join experiment_runs as r on r.experiment_id = c.experiment_id
group by experiment_id, dimension, segment, phase
order by experiment_id, dimension, segment, phase
