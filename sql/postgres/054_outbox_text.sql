-- 054_outbox_text.sql (PostgreSQL): payloads as text
-- Grain:  outbox_log, outbox_events: as they are
-- From:   070, 080, 082, 085     To: readers of outbox_events; Debezium reads outbox_log
-- Rerun:  safe; rows that are there already are written once more, and writers wait meanwhile
-- The writers' JSON is sent on as it stands: making jsonb of it, of which the log's reader made text again, took twice as long.
drop view if exists outbox_events;

alter table outbox_log alter column payload type json using payload::json;

-- A column of another type begins with that type's way of storing; see 052.
alter table outbox_log alter column payload set storage external;

create view outbox_events as
select id, fact.aggregate_id, aggregate_type, event_type, fact.payload, created_at,
       (select w.proven_at from reconciliation_windows w
        where w.aggregate_type = o.aggregate_type
          and w.window_start <= o.created_at and o.created_at < w.window_end
        order by w.window_start desc limit 1) as processed_at,
       partition_key
from outbox_log o cross join lateral (
    select o.aggregate_id, o.payload where json_typeof(o.payload) <> 'array'
    union all
    select told ->> 'id', told from json_array_elements(case json_typeof(o.payload) when 'array' then o.payload else '[]' end) told) fact;
