-- landing_months.sql (ClickHouse): the partitions of landing, the oldest first
-- Grain:  month of the broker's clock; created_from, created_to are of the outbox rows in it; open_letters: dead letters nobody sent again
-- Units:  rows as stored, redelivered ones included
select partition_id as month, any(toLastDayOfMonth(toDate32(kafka_timestamp))) + 1 as ended_on, count() as rows,
       minIf(created_at, reason = '') as created_from, maxIf(created_at, reason = '') as created_to,
       uniqExactIf((topic, partition, offset, kafka_timestamp), is_open) as open_letters
from (
    select _partition_id as partition_id, topic, partition, offset, kafka_timestamp, created_at, reason,
           (topic, partition, offset, kafka_timestamp) in (
               select d.topic, d.partition, d.offset, d.kafka_timestamp
               from dead_letters as d
               left join (select * from dead_letters_replayed final) as r
                   on r.topic = d.topic and r.partition = d.partition and r.offset = d.offset and r.kafka_timestamp = d.kafka_timestamp
               where r.replayed_at < d.received_at) as is_open
    from landing_rows
)
group by month
order by month
