-- 110_raw_events_kafka.sql (ClickHouse): the topic, as a table to read from
-- Grain:  one row per Kafka message, passed on and not kept
-- From:   topic ${topic}, written by the connector      To: 190_landing_from_kafka, its only view
-- Rerun:  applied again when it or one of the views behind it changed; the consumer group keeps the position in between
-- Apply:  again
-- RawBLOB takes a message as it is, whatever it holds, so that reading it cannot fail here.
drop view if exists landing_from_kafka;

drop table if exists raw_events_kafka sync;

create table raw_events_kafka (message String)
engine = Kafka
settings kafka_broker_list = '${kafka_bootstrap}', kafka_topic_list = '${topic}', kafka_group_name = '${consumer_group}',
         kafka_format = 'RawBLOB', kafka_num_consumers = ${consumers}, kafka_thread_per_consumer = 1,
         kafka_max_block_size = 500000, kafka_poll_max_batch_size = 65536,
         kafka_poll_timeout_ms = ${poll_timeout_ms}, kafka_flush_interval_ms = ${flush_interval_ms},
         kafka_consumer_reschedule_ms = ${reschedule_ms};
