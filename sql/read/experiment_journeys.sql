-- experiment_journeys.sql (ClickHouse): what the users of one experiment did, day by day
-- Grain:  user × day, in that order, after (after_user, after_day); parameters experiment_id, user_id and variant ('' for all),
--         after_user, after_day, limit
-- Units:  value: sum of properties.value; steps in time order, the first thousand of a day
-- In the order of users alone, which is that of the table, the engine stops at the page's last user; in the order of users and
-- days it would read every row of the experiment.
with (
    select max(user_id)
    from (
        select user_id
        from user_journeys
        where experiment_id = {experiment_id:UInt64} and user_id >= {after_user:String}
          and ({user_id:String} = '' or user_id = {user_id:String})
          and ({variant:String} = '' or variant_key = {variant:String})
          and ({after_user:String} = '' or (user_id, day) > ({after_user:String}, {after_day:Date32}))
        order by user_id
        limit {limit:UInt32}
    )
) as last_user
select user_id, day, variant_key, events, exposures, clicks, conversions, value_sum as value, first_event_at, last_event_at, steps
from user_journeys
where experiment_id = {experiment_id:UInt64} and user_id >= {after_user:String} and user_id <= last_user
  and ({user_id:String} = '' or user_id = {user_id:String})
  and ({variant:String} = '' or variant_key = {variant:String})
  and ({after_user:String} = '' or (user_id, day) > ({after_user:String}, {after_day:Date32}))
order by user_id, day
limit {limit:UInt32}
