-- ids_landing.sql (ClickHouse): every outbox row that landed, however often it came; the counterpart of ids_outbox
-- Grain:  outbox row, as it came last; parameters start, until (created_at)
-- A row is appended to the topic after it was written, however far the two clocks differ within a day.
select aggregate_type, created_at, toString(outbox_id) as id,
       argMax(reinterpretAsInt64(reverse(substring(MD5(concat(
                  toString(outbox_id), '\x1f', aggregate_id, '\x1f', event_type, '\x1f', key, '\x1f', payload)), 1, 8))),
              (kafka_timestamp, offset, received_at)) as digest
from landing_rows
where created_at >= {start:DateTime64(6, 'UTC')} and created_at < {until:DateTime64(6, 'UTC')}
  and kafka_timestamp >= {start:DateTime64(6, 'UTC')} - interval 1 day and reason = ''
group by outbox_id, aggregate_type, created_at
