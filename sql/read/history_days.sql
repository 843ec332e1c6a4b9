-- history_days.sql (ClickHouse): the days to which users who were assigned since add their history
-- Grain:  one row per day, of the 14 before an assignment but not its own: how many events these users have on it
-- Time:   UTC days of the events' timestamps
select d.day as day, sum(d.events) as events
from user_days as d
inner join (
    select user_id, min(toDate32(assigned_at)) - 14 as since, max(toDate32(assigned_at)) as until from dirty_assignments group by user_id
) as a on a.user_id = d.user_id
where d.user_id in (select user_id from dirty_assignments)
  and d.day >= (select min(toDate32(assigned_at)) - 14 from dirty_assignments) and d.day < (select max(toDate32(assigned_at)) from dirty_assignments)
  and d.day >= a.since and d.day < a.until
group by day
order by day
