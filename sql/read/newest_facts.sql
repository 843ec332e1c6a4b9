-- newest_facts.sql (ClickHouse): the last that reached ClickHouse
-- Grain:  one row; outbox_id is 0 and the times are null where nothing came
-- Time:   landed_at is ClickHouse's clock, event_accepted_at PostgreSQL's
-- The newest kafka_timestamp and created_at stand in the partitions' metadata; the others are of the ten minutes before the
-- last message, whatever is kept.
select max(outbox_id) as outbox_id,
       maxOrNull(received_at) as landed_at,
       (select nullIf(max(created_at), toDateTime64(0, 6, 'UTC')) from events_rows) as event_accepted_at
from landing_rows
where kafka_timestamp >= (select max(kafka_timestamp) from landing_rows) - interval 10 minute
