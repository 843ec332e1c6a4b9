-- 141_assignments_views.sql (ClickHouse): from a message's payload to assignments_mv
-- Grain:  incoming_assignments passes one row per message on; assignments_mv: one row per experiment and user
-- From:   landing_others                 To: assignments_rows; 161_dead_letters_views, 171_dirty_windows_views; rollups, readers
-- Time:   assigned_at is the moment from which events count, created_at PostgreSQL's clock; UTC
-- Rerun:  replaces the views, with the stream stopped meanwhile
-- Apply:  again
drop table if exists incoming_assignments;

create table incoming_assignments (
    topic String, partition UInt32, offset UInt64, outbox_id UInt64, payload String, reason String, kafka_timestamp DateTime64(3, 'UTC'),
    experiment_id UInt64, experiment_key String, user_id String, variant_id UInt64, variant_key String,
    assigned_at DateTime64(6, 'UTC'), source String, attributes String, created_at DateTime64(6, 'UTC'), deleted Bool
) engine = Null;

drop view if exists incoming_assignments_from_landing;

drop view if exists assignments_rows_from_incoming;

create materialized view assignments_rows_from_incoming to assignments_rows as
select experiment_id, experiment_key, user_id, variant_id, variant_key, assigned_at, source, attributes, created_at, deleted, outbox_id
from incoming_assignments
where reason = '';

create materialized view incoming_assignments_from_landing to incoming_assignments as
with
    JSONExtract(payload, 'Tuple(experiment_id Nullable(UInt64), experiment_key Nullable(String), user_id Nullable(String),
        variant_id Nullable(UInt64), variant_key Nullable(String), assigned_at String, source String, attributes String,
        created_at String, deleted Bool)') as fact,
    parseDateTime64BestEffortOrNull(fact.assigned_at, 6, 'UTC') as started_at,
    parseDateTime64BestEffortOrNull(fact.created_at, 6, 'UTC') as accepted_at
select
    topic, partition, offset, outbox_id, payload,
    multiIf(
        not isValidJSON(payload), 'payload is not JSON',
        fact.experiment_id is null or fact.variant_id is null, 'experiment_id or variant_id is missing',
        ifNull(fact.user_id, '') = '', 'user_id is missing',
        ifNull(toYear(started_at), 10000) != toUInt16OrZero(substring(fact.assigned_at, 1, 4)), 'assigned_at is not a time between 1900 and 2299',
        accepted_at is null, 'created_at is not a time',
        '') as reason,
    kafka_timestamp,
    ifNull(fact.experiment_id, 0) as experiment_id,
    ifNull(fact.experiment_key, '') as experiment_key,
    ifNull(fact.user_id, '') as user_id,
    ifNull(fact.variant_id, 0) as variant_id,
    ifNull(fact.variant_key, '') as variant_key,
    ifNull(started_at, toDateTime64(0, 6, 'UTC')) as assigned_at,
    fact.source as source,
    fact.attributes as attributes,
    ifNull(accepted_at, toDateTime64(0, 6, 'UTC')) as created_at,
    fact.deleted as deleted
from landing_others
where landing_others.aggregate_type = 'assignment' and landing_others.reason = '';

create or replace view assignments_mv as
select experiment_id, experiment_key, user_id, variant_id, variant_key, assigned_at, source, attributes, dimensions, created_at, outbox_id
from assignments_rows final
where not deleted;
