-- raw_event_months.sql (ClickHouse): the months of acceptance of events_processed, the oldest first
-- Grain:  month (YYYYMM, UTC, of created_at); ended_on: the first day after it
-- Units:  events without repeats; bytes on disk
select e.month as month, e.began_on as began_on, addMonths(e.began_on, 1) as ended_on, e.events as events, p.bytes as bytes
from (
    select toString(toYYYYMM(created_at)) as month, any(toStartOfMonth(toDate32(created_at))) as began_on, uniqExact(id) as events
    from events_rows
    group by month
) as e
inner join (
    select partition_id as month, sum(bytes_on_disk) as bytes
    from system.parts where database = currentDatabase() and table = 'events_rows' and active
    group by month
) as p on p.month = e.month
order by month
