-- user_segments: each compared user's segment in every dimension of the experiments in user_traits
-- A dimension with more than 100 values is an id or a measure, not a dimension; of the others the eight that most users have.
-- The ten commonest values stand alone, the rest is '(other)'.
insert into user_segments (experiment_id, user_id, variant_id, assigned_at, dimension, segment, known_before)
with
    dimensions as (
        select d.experiment_id as experiment_id, d.dimension as dimension, d.before as before, d.standing_alone as standing_alone
        from (
            select experiment_id, dimension, sum(users) as known, count() as segments, min(of_value.before) as before,
                   arrayPushBack(arrayMap(v -> v.2, groupArraySorted(10)((-toInt64(users), value))), '') as standing_alone
            from (
                select experiment_id, t.1 as dimension, t.2 as value, count() as users, min(t.3 = 0) as before
                from user_traits
                array join told as t
                group by experiment_id, dimension, value
            ) as of_value
            group by experiment_id, dimension
            having segments <= 100
        ) as d
        inner join (select experiment_id, count() as users from user_traits group by experiment_id) as c on c.experiment_id = d.experiment_id
        where d.segments > 1 or d.known < c.users
        order by d.known desc, d.dimension
        limit 8 by experiment_id
    )
select u.experiment_id, u.user_id, u.variant_id, u.assigned_at, d.dimension,
       if(has(d.standing_alone, arrayFirst(t -> t.1 = d.dimension, u.told).2 as value), value, '(other)'), d.before
from user_traits as u
inner join dimensions as d on d.experiment_id = u.experiment_id
