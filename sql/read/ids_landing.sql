-- ids_landing.sql (ClickHouse): every outbox row that landed, however often it came; the counterpart of ids_outbox
-- Grain:  outbox row; parameters start, until (created_at)
-- A row is appended to the topic after it was written, however far the two clocks differ within a day.
select aggregate_type, created_at, toString(outbox_id) as id
from landing_rows
where created_at >= {start:DateTime64(6, 'UTC')} and created_at < {until:DateTime64(6, 'UTC')}
  and kafka_timestamp >= {start:DateTime64(6, 'UTC')} - interval 1 day and reason = ''
group by outbox_id, aggregate_type, created_at
