-- 190_landing_from_kafka.sql (ClickHouse): the tap; opened last, so that nothing arrives before every view stands
-- Grain:  one row per Kafka message
-- From:   raw_events_kafka               To: landing_rows and, through it, everything else
-- Time:   created_at is PostgreSQL's clock, kafka_timestamp the broker's
-- Rerun:  applied again when it or one of the views before it changed
-- Apply:  again
-- One view only: with two, a killed engine doubled a block in one of them.
drop view if exists landing_from_kafka;

create materialized view landing_from_kafka to landing_rows as
with
    JSONExtract(message, 'Tuple(op String, source Tuple(lsn Nullable(UInt64)), after Tuple(id Nullable(UInt64),
        aggregate_id Nullable(String), aggregate_type String, event_type String, payload Nullable(String),
        created_at String))') as envelope,
    parseDateTime64BestEffortOrNull(envelope.after.created_at, 6, 'UTC') as written_at,
    multiIf(
        message = '', 'message is empty',
        not isValidJSON(message), 'message is not JSON',
        envelope.op = 't', 'envelope tells of a truncate',
        envelope.op not in ('c', 'r'), 'envelope tells of no insert',
        envelope.source.lsn is null or envelope.after.id is null or envelope.after.aggregate_id is null
            or envelope.after.payload is null or written_at is null, 'envelope lacks lsn, id, aggregate_id, payload or created_at',
        envelope.after.aggregate_type not in ('event', 'assignment', 'experiment'), 'aggregate_type is unknown',
        '') as why
select
    _topic as topic, _partition as partition, _offset as offset,
    ifNull(_timestamp_ms, toDateTime64(0, 3, 'UTC')) as kafka_timestamp, _key as key,
    ifNull(envelope.source.lsn, 0) as lsn,
    ifNull(envelope.after.id, 0) as outbox_id,
    ifNull(envelope.after.aggregate_id, '') as aggregate_id,
    if(why = '', envelope.after.aggregate_type, '') as aggregate_type,
    if(why = '', envelope.after.event_type, '') as event_type,
    ifNull(written_at, toDateTime64(0, 6, 'UTC')) as created_at,
    if(why = '', ifNull(envelope.after.payload, ''), '') as payload,
    if(why = '', '', message) as raw,
    why as reason
from raw_events_kafka;
