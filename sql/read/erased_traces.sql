-- erased_traces.sql (ClickHouse): what the rollups, results and ledger hold of the people in erasing_users
-- Grain:  kind × value: 'day' (of an event), 'experiment', 'event' and 'assignment' (minute of acceptance), 'segment' (a value that a
--         dimension of results may have been cut by)
-- Time:   days of the event's timestamp, minutes of created_at; UTC
select distinct kind, value
from (
    select 'day' as kind, toString(toDate32(timestamp)) as value from events_rows where user_id in (select user_id from erasing_users)
    union all
    select 'event', toString(toStartOfMinute(created_at)) from events_rows where user_id in (select user_id from erasing_users)
    union all
    select 'assignment', toString(toStartOfMinute(created_at)) from assignments_rows where user_id in (select user_id from erasing_users)
    union all
    select 'experiment', toString(experiment_id) from assignments_rows where user_id in (select user_id from erasing_users)
    union all
    select 'experiment', toString(experiment_id) from variant_sightings where user_id in (select user_id from erasing_users)
    union all
    select 'day', toString(day) from user_days where user_id in (select user_id from erasing_users)
    union all
    select 'segment', toString(arrayJoin([ifNull(device, ''), ifNull(browser, '')])) from events_rows
    where user_id in (select user_id from erasing_users)
    union all
    select 'segment', arrayJoin(dimensions).2 from assignments_rows where user_id in (select user_id from erasing_users)
)
where value != ''
