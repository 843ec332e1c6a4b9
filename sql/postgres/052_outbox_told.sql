-- 052_outbox_told.sql (PostgreSQL): rows that tell of several events
-- Grain:  outbox_log: one row per user and batch, cut where it would be larger than a page; outbox_events: one per fact
-- From:   070, which gathers what a batch tells of a user      To: readers of outbox_events; Debezium reads outbox_log
-- Rerun:  safe; replaces the view
-- PostgreSQL's own compression costs more than the bytes do, which Kafka and ClickHouse compress again.
alter table outbox_log alter column payload set storage external;

-- A row of up to a page stays whole; those to come are made so by 060.
do $$
declare
    day regclass;
begin
    for day in select inhrelid::regclass from pg_inherits where inhparent = 'outbox_log'::regclass loop
        execute format('alter table %s set (toast_tuple_target = 8160)', day);
    end loop;
end $$;

create or replace view outbox_events as
select id, fact.aggregate_id, aggregate_type, event_type, fact.payload, created_at,
       (select w.proven_at from reconciliation_windows w
        where w.aggregate_type = o.aggregate_type
          and w.window_start <= o.created_at and o.created_at < w.window_end
        order by w.window_start desc limit 1) as processed_at,
       partition_key
from outbox_log o cross join lateral (
    select o.aggregate_id, o.payload where jsonb_typeof(o.payload) <> 'array'
    union all
    select told ->> 'id', told from jsonb_array_elements(case jsonb_typeof(o.payload) when 'array' then o.payload else '[]' end) told) fact;
