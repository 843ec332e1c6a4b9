-- ids_processed.sql (ClickHouse): every fact that can be queried; the counterpart of ids_facts
-- Grain:  event, assignment, experiment; parameters start, until (created_at), events_start (PostgreSQL keeps events from there on)
-- digest: of the whole fact. The columns taken from the properties are held against the properties, too: results read them.
with
    (s -> reinterpretAsInt64(reverse(substring(MD5(s), 1, 8)))) as digest_of,
    (t -> ifNull(toString(toUnixTimestamp64Micro(t)), '')) as micros
select 'event' as aggregate_type, created_at, toString(id) as id,
       digest_of(concat(
           toString(events.id), '\x1f', user_id, '\x1f', event_type, '\x1f', micros(timestamp), '\x1f',
           ifNull(toString(experiment_id), ''), '\x1f', ifNull(toString(variant_id), ''), '\x1f', ifNull(variant_key, ''), '\x1f',
           micros(assignment_at), '\x1f', ifNull(concat('+', session_id), ''), '\x1f', ifNull(concat('+', request_id), ''), '\x1f',
           micros(created_at), '\x1f', properties,
           -- Where a number is too long for the parser, these were read in another way.
           if(as_read = as_kept or not isValidJSON(properties), '', concat('\x1f', as_kept)))) as digest
from (
    select *,
           toString(JSONExtract(properties, 'Tuple(page Nullable(String), device Nullable(String), browser Nullable(String),
               value Nullable(Float64), score Nullable(Float64))')) as as_read,
           toString(tuple(page, device, browser, value, score)) as as_kept
    from events_rows final
    where created_at >= {events_start:DateTime64(6, 'UTC')} and created_at < {until:DateTime64(6, 'UTC')}
) as events
union all
select 'assignment' as aggregate_type, created_at, concat(toString(experiment_id), '/', user_id) as id,
       digest_of(concat(
           toString(experiment_id), '\x1f', experiment_key, '\x1f', user_id, '\x1f', toString(variant_id), '\x1f', variant_key, '\x1f',
           micros(assigned_at), '\x1f', source, '\x1f', attributes, '\x1f', micros(created_at))) as digest
from assignments_mv
where created_at >= {start:DateTime64(6, 'UTC')} and created_at < {until:DateTime64(6, 'UTC')}
union all
select 'experiment' as aggregate_type, updated_at as created_at, key as id,
       digest_of(concat(
           toString(experiment_id), '\x1f', key, '\x1f', name, '\x1f', status, '\x1f', toString(revision), '\x1f', micros(started_at), '\x1f',
           micros(stopped_at), '\x1f', micros(experiments.created_at), '\x1f', micros(updated_at))) as digest
from experiments_rows as experiments final
where updated_at >= {start:DateTime64(6, 'UTC')} and updated_at < {until:DateTime64(6, 'UTC')} and status != 'deleted'
