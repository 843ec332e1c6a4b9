-- 171_dirty_windows_views.sql (ClickHouse): which days and users changed
-- Grain:  as in 170_dirty_windows
-- From:   incoming_events, incoming_assignments       To: dirty_days, dirty_assignments
-- Rerun:  adds what is missing, replaces the views, with the stream stopped meanwhile
-- Apply:  again
-- 0: marked before there was this column.
alter table dirty_assignments add column if not exists experiment_id UInt64;

drop view if exists dirty_days_from_events;

create materialized view dirty_days_from_events to dirty_days as
select toDate32(timestamp) as day, topic, partition, max(offset) as last_offset, count() as events
from incoming_events
where reason = ''
group by day, topic, partition;

drop view if exists dirty_assignments_from_incoming;

create materialized view dirty_assignments_from_incoming to dirty_assignments as
select experiment_id, user_id, assigned_at, topic, partition, offset as last_offset
from incoming_assignments
where reason = '';
