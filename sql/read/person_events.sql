-- person_events.sql (ClickHouse): the accepted events of one person
-- Grain:  event as JSON, in the order of time and id, after (after_us, after_id); parameters these, user_id, limit
-- Units:  after_us: microseconds since 1970
-- The end of the page is looked for first, in the order of the table: with `final` all that follows would be read for each page.
with
    fromUnixTimestamp64Micro({after_us:Int64}, 'UTC') as after,
    (
        select max((timestamp, id))
        from (
            select timestamp, id
            from events_rows
            where user_id = {user_id:String} and timestamp >= after and (timestamp, id) > (after, {after_id:UUID})
            order by timestamp, id
            limit {limit:UInt32}
        )
    ) as last
select 'events_processed' as store,
       formatRowNoNewline('JSONEachRow', id, experiment_id, user_id, variant_id, variant_key, event_type, timestamp, assignment_at,
           properties, session_id, request_id, created_at, page, device, browser, value, score) as row,
       toUnixTimestamp64Micro(timestamp) as after_us, toString(id) as after_id
from events_processed
where user_id = {user_id:String} and timestamp >= after and timestamp <= last.1
  and (timestamp, id) > (after, {after_id:UUID}) and (timestamp, id) <= last
order by timestamp, id
