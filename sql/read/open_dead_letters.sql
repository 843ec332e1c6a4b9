-- open_dead_letters.sql (ClickHouse): messages that could not be read and that nobody sent again
-- Grain:  one row; oldest_at and reason (the most frequent) are empty where there are none
select count() as messages, minOrNull(d.received_at) as oldest_at, arrayElement(topK(1)(d.reason), 1) as reason
from dead_letters as d
left join (select * from dead_letters_replayed final) as r
    on r.topic = d.topic and r.partition = d.partition and r.offset = d.offset and r.kafka_timestamp = d.kafka_timestamp
where r.replayed_at < d.received_at
