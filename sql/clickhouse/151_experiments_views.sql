-- 151_experiments_views.sql (ClickHouse): from a message's payload to experiment_definitions
-- Grain:  experiment_definitions: one row per experiment; experiment_variants, experiment_metrics, experiment_phases: one per
--         variant, metric, phase
-- From:   landing_others                 To: experiments_rows; 161_dead_letters_views; rollups, readers
-- Time:   started_at, stopped_at bound the run within which events count; UTC
-- Rerun:  replaces the views, with the stream stopped meanwhile
-- Apply:  again
-- JSON, as published; empty where an experiment was published before this column was there.
alter table experiments_rows add column if not exists phases String;

drop table if exists incoming_experiments;

create table incoming_experiments (
    topic String, partition UInt32, offset UInt64, lsn UInt64, payload String, reason String, kafka_timestamp DateTime64(3, 'UTC'),
    experiment_id UInt64, key String, name String, status String, revision UInt64,
    started_at Nullable(DateTime64(6, 'UTC')), stopped_at Nullable(DateTime64(6, 'UTC')),
    created_at DateTime64(6, 'UTC'), updated_at DateTime64(6, 'UTC'), variants String, metrics String, phases String
) engine = Null;

drop view if exists incoming_experiments_from_landing;

drop view if exists experiments_rows_from_incoming;

create materialized view experiments_rows_from_incoming to experiments_rows as
select experiment_id, key, name, status, revision, started_at, stopped_at, created_at, updated_at, variants, metrics, phases, lsn
from incoming_experiments
where reason = '';

create materialized view incoming_experiments_from_landing to incoming_experiments as
with
    -- As in 131, but a number beyond 64 bits becomes a text, from which JSONExtract takes it as well, written as the parser writes
    -- that of an event. As a number it would be written with all its digits again, which the views below could not read.
    arrayStringConcat(arrayMap(
        token -> multiIf(not match(token, '^-?[0-9]') or abs(toFloat64OrZero(token)) < 9e18, token,
                         not isFinite(toFloat64OrZero(token)), 'null',
                         concat('"', toString(JSONExtractFloat(concat('[', token, if(match(token, '^-?[0-9]+$'), 'e0]', ']')), 1)), '"')),
        extractAll(payload, '"(?:[^"\\\\]|\\\\.)*"|-?[0-9][0-9.eE+-]*|[^"0-9-]+'))) as readable,
    JSONExtract(readable, 'Tuple(experiment_id Nullable(UInt64), key Nullable(String), name String, status String,
        revision Nullable(UInt64), started_at Nullable(String), stopped_at Nullable(String), created_at String,
        updated_at String)') as fact,
    parseDateTime64BestEffortOrNull(ifNull(fact.started_at, ''), 6, 'UTC') as run_from,
    parseDateTime64BestEffortOrNull(ifNull(fact.stopped_at, ''), 6, 'UTC') as run_to
select
    topic, partition, offset, lsn, payload,
    multiIf(
        not isValidJSON(readable), 'payload is not JSON',
        fact.experiment_id is null or fact.revision is null or ifNull(fact.key, '') = '', 'experiment_id, key or revision is missing',
        fact.started_at is not null and run_from is null, 'started_at is not a time',
        fact.stopped_at is not null and run_to is null, 'stopped_at is not a time',
        JSONType(readable, 'variants') != 'Array' or JSONType(readable, 'metrics') != 'Array', 'variants or metrics is not an array',
        '') as reason,
    kafka_timestamp,
    ifNull(fact.experiment_id, 0) as experiment_id,
    ifNull(fact.key, '') as key,
    fact.name as name,
    fact.status as status,
    ifNull(fact.revision, 0) as revision,
    run_from as started_at,
    run_to as stopped_at,
    ifNull(parseDateTime64BestEffortOrNull(fact.created_at, 6, 'UTC'), toDateTime64(0, 6, 'UTC')) as created_at,
    ifNull(parseDateTime64BestEffortOrNull(fact.updated_at, 6, 'UTC'), toDateTime64(0, 6, 'UTC')) as updated_at,
    JSONExtractRaw(readable, 'variants') as variants,
    JSONExtractRaw(readable, 'metrics') as metrics,
    JSONExtractRaw(readable, 'phases') as phases
from landing_others
where landing_others.aggregate_type = 'experiment' and landing_others.reason = '';

create or replace view experiment_definitions as
select * from experiments_rows final where status != 'deleted';

create or replace view experiment_variants as
select experiment_id, position, v.variant_id as variant_id, v.key as variant_key, v.weight as weight, v.is_control as is_control
from (
    select experiment_id,
           JSONExtract(variants, 'Array(Tuple(variant_id UInt64, key String, weight Float64, is_control Bool))') as list
    from experiments_rows final where status != 'deleted'
)
array join list as v, arrayEnumerate(list) as position;

create or replace view experiment_metrics as
select experiment_id, position, m.key as metric, m.kind as kind, m.event_type as event_type,
       ifNull(m.value_property, 'value') as value_property, m.direction as direction, m.role as role, m.definition as definition
from (
    select experiment_id,
           JSONExtract(metrics, 'Array(Tuple(key String, kind String, event_type String, value_property Nullable(String),
               direction String, role String, definition String))') as list
    from experiments_rows final where status != 'deleted'
)
array join list as m, arrayEnumerate(list) as position;

-- The weights by which users were assigned, since when. A draft has none.
create or replace view experiment_phases as
select experiment_id, p.phase as phase, parseDateTime64BestEffortOrNull(p.began_at, 6, 'UTC') as began_at,
       parseDateTime64BestEffortOrNull(ifNull(p.ended_at, ''), 6, 'UTC') as ended_at, p.weights as weights
from (
    select experiment_id,
           JSONExtract(phases, 'Array(Tuple(phase UInt32, began_at String, ended_at Nullable(String), weights Map(String, Float64)))') as list
    from experiments_rows final where status != 'deleted'
)
array join list as p;
