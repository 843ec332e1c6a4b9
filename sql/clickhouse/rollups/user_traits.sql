-- user_traits: what the users of the experiments {experiments} told of themselves, of one of {buckets} of their users
-- Beside the assignment's dimensions device and browser are those of the user's first event that names one where the attributes
-- do not.
insert into user_traits (experiment_id, user_id, variant_id, assigned_at, told)
with
    came_on as (
        select user_id, argMinIf(device, day, device != '') as first_device, argMinIf(browser, day, browser != '') as first_browser
        from user_days
        where (device != '' or browser != '')
          and user_id in (
              select user_id
              from assignments_rows
              where experiment_id in {experiments:Array(UInt64)} and cityHash64(user_id) % {buckets:UInt64} = {bucket:UInt64}
          )
        group by user_id
    )
select c.experiment_id, c.user_id, c.variant_id, c.assigned_at,
       arrayConcat(c.given, arrayFilter(t -> t.2 != '' and not arrayExists(g -> g.1 = t.1, c.given),
                                        [('device', toString(o.first_device), toUInt8(1)), ('browser', toString(o.first_browser), toUInt8(1))]))
from (
    select experiment_id, user_id, variant_id, assigned_at,
           arrayMap(pair -> (pair.1, pair.2, toUInt8(0)), dimensions) as given
    from assigned_users
    where experiment_id in {experiments:Array(UInt64)} and cityHash64(user_id) % {buckets:UInt64} = {bucket:UInt64}
) as c
left join came_on as o on o.user_id = c.user_id
-- Days lie in the order of their users.
settings optimize_aggregation_in_order = 1
