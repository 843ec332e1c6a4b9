-- person_journeys.sql (ClickHouse): the days of one person in each experiment, with their steps
-- Grain:  experiment × day as JSON, in the order of days, after (after_day, after_experiment); parameters these, user_id, limit
select 'user_journeys' as store,
       formatRowNoNewline('JSONEachRow', day, experiment_id, variant_id, variant_key, user_id, events, exposures, clicks, conversions,
           value_sum, first_event_at, last_event_at, steps) as row,
       toString(day) as after_day, experiment_id as after_experiment
from user_journeys
where user_id = {user_id:String} and (day, experiment_id) > ({after_day:Date32}, {after_experiment:UInt64})
order by day, experiment_id
limit {limit:UInt32}
