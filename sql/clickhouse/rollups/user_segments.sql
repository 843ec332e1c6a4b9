-- user_segments: each compared user's segment in every dimension of the experiments {experiments}
-- A dimension is a key of the assignments' attributes (text, number or boolean), and device and browser, which are those of the
-- user's first event that names one where the attributes do not. One with more than 100 values is an id or a measure, not a
-- dimension; of the others the eight that most users have. The ten commonest values stand alone, the rest is '(other)'.
insert into user_segments (experiment_id, user_id, variant_id, assigned_at, dimension, segment, known_before)
with
    chosen as (
        select experiment_id, user_id, variant_id, assigned_at, attributes from assigned_users where experiment_id in {experiments:Array(UInt64)}
    ),
    came_on as (
        select user_id, argMinIf(device, day, device != '') as first_device,
               argMinIf(browser, day, browser != '') as first_browser
        from user_days
        where user_id in (select user_id from chosen) and (device != '' or browser != '')
        group by user_id
    ),
    told as (
        select experiment_id, user_id, dimension, argMin(text, later) as value, min(later) = 0 as known_before
        from (
            select experiment_id, user_id, pair.1 as dimension, 0 as later,
                   substringUTF8(if(startsWith(pair.2, '"'), JSONExtractString(pair.2), pair.2), 1, 128) as text
            from (
                select experiment_id, user_id, arrayJoin(JSONExtractKeysAndValuesRaw(attributes)) as pair from chosen where attributes != '{}'
            )
            where not match(pair.2, '^[{\\[n]')
            union all
            select c.experiment_id, c.user_id, pair.1, 1, pair.2
            from chosen as c
            inner join came_on as o on o.user_id = c.user_id
            array join [('device', toString(o.first_device)), ('browser', toString(o.first_browser))] as pair
        )
        where text != ''
        group by experiment_id, user_id, dimension
    ),
    ranked as (
        select experiment_id, dimension, value, count() as users, min(known_before) as before,
               row_number() over (partition by experiment_id, dimension order by users desc, value) as rank
        from told
        group by experiment_id, dimension, value
    ),
    dimensions as (
        select d.experiment_id as experiment_id, d.dimension as dimension, d.before as before
        from (
            select experiment_id, dimension, sum(users) as known, count() as segments, min(ranked.before) as before
            from ranked
            group by experiment_id, dimension
            having segments <= 100
        ) as d
        inner join (select experiment_id, count() as users from chosen group by experiment_id) as c on c.experiment_id = d.experiment_id
        where d.segments > 1 or d.known < c.users
        order by d.known desc, d.dimension
        limit 8 by experiment_id
    )
select c.experiment_id, c.user_id, c.variant_id, c.assigned_at, d.dimension,
       multiIf(t.value = '', '', r.rank > 10, '(other)', t.value), d.before
from chosen as c
inner join dimensions as d on d.experiment_id = c.experiment_id
left join told as t on t.experiment_id = c.experiment_id and t.user_id = c.user_id and t.dimension = d.dimension
left join ranked as r on r.experiment_id = c.experiment_id and r.dimension = d.dimension and r.value = t.value
