-- dead_letters.sql (ClickHouse): messages that could not be read, the newest first
-- Grain:  message; parameters all (1: those that were sent again and did not come back, too), before (received), limit
-- Units:  bytes: length of what was kept; raw and key in base64, as they may hold anything
select d.topic as topic, d.partition as partition, d.offset as offset, d.kafka_timestamp as kafka_timestamp, d.reason as reason,
       length(d.raw) as bytes, base64Encode(d.raw) as raw, base64Encode(l.key) as key, d.received_at as received_at,
       nullIf(r.replayed_at, toDateTime64(0, 6, 'UTC')) as replayed_at
from dead_letters as d
left join (select * from dead_letters_replayed final) as r
    on r.topic = d.topic and r.partition = d.partition and r.offset = d.offset and r.kafka_timestamp = d.kafka_timestamp
left join (
    select topic, partition, offset, kafka_timestamp, key from landing
    where (topic, partition, offset, kafka_timestamp) in (select topic, partition, offset, kafka_timestamp from dead_letters)
) as l on l.topic = d.topic and l.partition = d.partition and l.offset = d.offset and l.kafka_timestamp = d.kafka_timestamp
where ({all:UInt8} or r.replayed_at < d.received_at) and d.received_at < {before:DateTime64(6, 'UTC')}
order by d.kafka_timestamp desc, d.partition, d.offset
limit {limit:UInt32}
