-- 131_events_views.sql (ClickHouse): from a message's payload to events_processed
-- Grain:  incoming_events passes one row per event of a message on and keeps none; events_processed: one row per event
-- From:   landing_rows                   To: events_rows; 161_dead_letters_views, 171_dirty_windows_views; rollups, readers
-- Time:   timestamp is the client's, created_at PostgreSQL's; UTC. event_date and event_hour (0 to 23) are of timestamp
-- Rerun:  replaces the views, with the stream stopped meanwhile
-- Apply:  again
-- Nothing here may throw: one bad message would hold up the stream. A value that cannot be read becomes null and a reason.
drop table if exists incoming_events;

create table incoming_events (
    topic String, partition UInt32, offset UInt64, outbox_id UInt64, payload String, reason String,
    id UUID, experiment_id Nullable(UInt64), user_id String, variant_id Nullable(UInt64), variant_key Nullable(String),
    event_type String, timestamp DateTime64(6, 'UTC'), assignment_at Nullable(DateTime64(6, 'UTC')), properties String,
    session_id Nullable(String), request_id Nullable(String), created_at DateTime64(6, 'UTC'),
    derived Tuple(page Nullable(String), device Nullable(String), browser Nullable(String), value Nullable(Float64), score Nullable(Float64)),
    kafka_timestamp DateTime64(3, 'UTC')
) engine = Null;

drop view if exists incoming_events_from_landing;

create materialized view incoming_events_from_landing to incoming_events as
with
    JSONExtract(payload, 'Tuple(id Nullable(UUID), experiment_id Nullable(UInt64), user_id Nullable(String),
        variant_id Nullable(UInt64), variant_key Nullable(String), event_type Nullable(String), timestamp String,
        assignment_at Nullable(String), properties Nullable(String), session_id Nullable(String), request_id Nullable(String),
        created_at String)') as fact,
    -- Outside 1900 to 2299 the parser answers with the nearest year it knows.
    parseDateTime64BestEffortOrNull(fact.timestamp, 6, 'UTC') as happened_at,
    parseDateTime64BestEffortOrNull(fact.created_at, 6, 'UTC') as accepted_at,
    ifNull(fact.properties, '') as text,
    -- PostgreSQL writes 1e308 as 309 digits, and the parser of ClickHouse refuses a document with an integer beyond 64 bits:
    -- such numbers are given an exponent, those beyond a float become null. The text that is kept stays as it is.
    if(isValidJSON(text), text,
       arrayStringConcat(arrayMap(
           token -> multiIf(not match(token, '^-?[0-9]') or length(token) < 19, token,
                            not isFinite(toFloat64OrZero(token)), 'null',
                            match(token, '^-?[0-9]+$'), concat(token, 'e0'), token),
           extractAll(text, '"(?:[^"\\\\]|\\\\.)*"|-?[0-9][0-9.eE+-]*|[^"0-9-]+')))) as readable,
    JSONExtract(readable, 'Tuple(page Nullable(String), device Nullable(String), browser Nullable(String),
        value Nullable(Float64), score Nullable(Float64))') as derived
select
    topic, partition, offset, outbox_id, payload,
    multiIf(
        not isValidJSON(payload), 'payload is not JSON',
        fact.id is null, 'id is not a UUID',
        ifNull(fact.user_id, '') = '', 'user_id is missing',
        ifNull(fact.event_type, '') = '', 'event_type is missing',
        ifNull(toYear(happened_at), 10000) != toUInt16OrZero(substring(fact.timestamp, 1, 4)), 'timestamp is not a time between 1900 and 2299',
        accepted_at is null or accepted_at < toDateTime64('2025-01-01', 6, 'UTC') or accepted_at > now64(6) + toIntervalDay(1),
            'created_at is not a time between 2025 and now',
        fact.properties is null or not startsWith(text, '{') or not isValidJSON(readable), 'properties is not a JSON object',
        fact.assignment_at is not null and parseDateTime64BestEffortOrNull(ifNull(fact.assignment_at, ''), 6, 'UTC') is null,
            'assignment_at is not a time',
        '') as reason,
    ifNull(fact.id, toUUID('00000000-0000-0000-0000-000000000000')) as id,
    fact.experiment_id as experiment_id,
    ifNull(fact.user_id, '') as user_id,
    fact.variant_id as variant_id,
    fact.variant_key as variant_key,
    ifNull(fact.event_type, '') as event_type,
    ifNull(happened_at, toDateTime64(0, 6, 'UTC')) as timestamp,
    parseDateTime64BestEffortOrNull(ifNull(fact.assignment_at, ''), 6, 'UTC') as assignment_at,
    text as properties,
    fact.session_id as session_id,
    fact.request_id as request_id,
    ifNull(accepted_at, toDateTime64(0, 6, 'UTC')) as created_at,
    derived,    -- in one piece: each mention of it is the whole of the above once more, which every block pays for
    kafka_timestamp
from (
    -- A message tells of one event, or in an array of several, a line each. What is no such array goes on as it is, to be refused.
    -- Texts hold no line ends, which JSON escapes. Cutting there takes a fifth of the parser's time, who cuts where the pieces are
    -- not as many as he counts.
    select topic, partition, offset, outbox_id, kafka_timestamp,
           arrayJoin(multiIf(
               not startsWith(landing_rows.payload, '['), [landing_rows.payload],
               endsWith(landing_rows.payload, '}]') and JSONLength(landing_rows.payload) = length(
                   splitByString(',\n', substring(landing_rows.payload, 2, length(landing_rows.payload) - 2)) as lines), lines,
               notEmpty(JSONExtractArrayRaw(landing_rows.payload) as told), told,
               [landing_rows.payload])) as payload
    from landing_rows
    where aggregate_type = 'event' and landing_rows.reason = ''
);

drop view if exists events_rows_from_incoming;

create materialized view events_rows_from_incoming to events_rows as
select id, experiment_id, user_id, variant_id, variant_key, event_type, timestamp, assignment_at, properties, session_id, request_id,
       created_at, derived.page as page, derived.device as device, derived.browser as browser, derived.value as value,
       derived.score as score, outbox_id
from incoming_events
where reason = '';

create or replace view events_processed as
select id, experiment_id, user_id, variant_id, variant_key, event_type, timestamp, assignment_at, properties, session_id, request_id,
       created_at, created_at as updated_at,
       cast(event_type = 'conversion' as UInt8) as is_conversion,
       cast(event_type = 'click' as UInt8) as is_click,
       cast(event_type = 'exposure' as UInt8) as is_exposure,
       ifNull(timestamp >= assignment_at, false) as is_valid,          -- at or after the assignment; false where it names none
       toDate32(timestamp) as event_date,
       toHour(timestamp) as event_hour,
       -- The parser takes the texts "nan", "Infinity" and "1e400" for numbers; no sum with one of them is a number any more.
       page, device, browser, if(isFinite(events_rows.value), events_rows.value, null) as value,
       if(isFinite(events_rows.score), events_rows.score, null) as score, outbox_id
from events_rows final;
