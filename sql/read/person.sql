-- person.sql (ClickHouse): everything that is kept of one person
-- Grain:  store × row, each row as JSON; parameter user_id
-- landing has every message about the person, with its place in Kafka, those of taken-back assignments and dead letters among them.
select store, row
from (
    select 'landing' as store, formatRowNoNewline('JSONEachRow', topic, partition, offset, kafka_timestamp, key, outbox_id, aggregate_id,
               aggregate_type, event_type, created_at, payload, raw, reason, received_at) as row
    from landing where key = {user_id:String} and aggregate_type != 'experiment'
    union all
    select 'events_processed', formatRowNoNewline('JSONEachRow', id, experiment_id, user_id, variant_id, variant_key, event_type, timestamp,
               assignment_at, properties, session_id, request_id, created_at, page, device, browser, value, score)
    from events_processed where user_id = {user_id:String}
    union all
    select 'assignments', formatRowNoNewline('JSONEachRow', experiment_id, experiment_key, user_id, variant_id, variant_key, assigned_at,
               source, attributes, created_at)
    from assignments_mv where user_id = {user_id:String}
    union all
    select 'variant_sightings', formatRowNoNewline('JSONEachRow', experiment_id, user_id, variant)
    from variant_sightings final where user_id = {user_id:String}
    union all
    select 'user_rollup', formatRowNoNewline('JSONEachRow', day, experiment_id, metric, variant_id, user_id, events, value_sum,
               denominator_sum, counts_from, history_events, history_sum, history_denominator, measured)
    from user_rollup where user_id = {user_id:String}
    union all
    select 'user_journeys', formatRowNoNewline('JSONEachRow', day, experiment_id, variant_id, variant_key, user_id, events, exposures, clicks,
               conversions, value_sum, first_event_at, last_event_at, steps)
    from user_journeys where user_id = {user_id:String}
    union all
    select 'user_days', formatRowNoNewline('JSONEachRow', day, user_id, device, browser, events, late_events, ahead_events, early_of)
    from user_days where user_id = {user_id:String}
)
