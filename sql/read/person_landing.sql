-- person_landing.sql (ClickHouse): the messages about one person, with their places in Kafka; those of taken-back assignments
--                                  and dead letters among them
-- Grain:  message as JSON, in the order of places, after (after_topic, after_partition, after_offset, after_ms); parameters
--         these, user_id, limit
-- The places are looked for first, by key alone: with `final` the payloads of all people would be read to find one.
select 'landing' as store,
       formatRowNoNewline('JSONEachRow', topic, partition, offset, kafka_timestamp, key, outbox_id, aggregate_id, aggregate_type,
           event_type, created_at, payload, raw, reason, received_at) as row,
       topic as after_topic, partition as after_partition, offset as after_offset,
       toUnixTimestamp64Milli(kafka_timestamp) as after_ms
from landing
where (topic, partition, offset, kafka_timestamp) in (
    select distinct topic, partition, offset, kafka_timestamp
    from landing_rows
    where key = {user_id:String} and aggregate_type != 'experiment'
      and (topic, partition, offset, kafka_timestamp) >
          ({after_topic:String}, {after_partition:UInt32}, {after_offset:UInt64}, fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC'))
    order by topic, partition, offset, kafka_timestamp
    limit {limit:UInt32}
)
order by topic, partition, offset, kafka_timestamp
