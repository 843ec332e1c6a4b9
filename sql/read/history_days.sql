-- history_days.sql (ClickHouse): the days to which users who were assigned since may add their history
-- Grain:  one row per day, from 14 before the first assignment to that before the last: how many events these users have on it
-- Time:   UTC days of the events' timestamps
select day, sum(events) as events
from user_days
where cityHash64(user_id) in (select cityHash64(user_id) from dirty_assignments)
  and day >= (select min(toDate32(assigned_at)) - 14 from dirty_assignments) and day < (select max(toDate32(assigned_at)) from dirty_assignments)
group by day
order by day
