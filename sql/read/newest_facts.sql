-- newest_facts.sql (ClickHouse): the last that reached ClickHouse
-- Grain:  one row; outbox_id is 0 and the times are null where nothing came
-- Time:   landed_at is ClickHouse's clock, event_accepted_at PostgreSQL's. The last day is read; all, only if it is empty.
with (select max(kafka_timestamp) from landing_rows) as last
select (select max(outbox_id) from landing_rows where kafka_timestamp > last - interval 1 day) as outbox_id,
       (select maxOrNull(received_at) from landing_rows where kafka_timestamp > last - interval 1 day) as landed_at,
       (select maxOrNull(created_at) from events_rows where created_at > last - interval 1 day) as event_accepted_at
