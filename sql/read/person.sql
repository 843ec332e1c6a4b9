-- person.sql (ClickHouse): what is kept of one person and is not much: the stores that grow by days and experiments
-- Grain:  store × row, each row as JSON; parameter user_id
-- What grows with the events is in person_landing, person_events and person_journeys, a page at a time.
select store, row
from (
    select 'assignments' as store, formatRowNoNewline('JSONEachRow', experiment_id, experiment_key, user_id, variant_id, variant_key,
               assigned_at, source, attributes, created_at) as row
    from assignments_mv where user_id = {user_id:String}
    union all
    select 'variant_sightings', formatRowNoNewline('JSONEachRow', experiment_id, user_id, variant)
    from variant_sightings final where user_id = {user_id:String}
    union all
    select 'user_rollup', formatRowNoNewline('JSONEachRow', day, experiment_id, metric, variant_id, user_id, events, value_sum,
               denominator_sum, counts_from, history_events, history_sum, history_denominator, measured)
    from user_rollup where user_id = {user_id:String}
    union all
    select 'user_days', formatRowNoNewline('JSONEachRow', day, user_id, device, browser, events, late_events, ahead_events, early_of)
    from user_days where user_id = {user_id:String}
)
