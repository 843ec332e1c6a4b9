-- experiment_timeseries_day.sql (ClickHouse): one experiment over time, by the day
-- Grain:  day × variant × event type, in that order; parameters experiment_id, event_type ('' for all), from_time, to_time, limit
-- Units:  users: distinct within the day; value: sum of properties.value
-- Time:   UTC; a day that begins at or after from_time and before to_time
select toDateTime64(day, 6, 'UTC') as at, variant_key, event_type, events, users, value_sum as value
from daily_metrics
where experiment_id = {experiment_id:UInt64}
  and ({event_type:String} = '' or event_type = {event_type:String})
  and toDateTime64(day, 6, 'UTC') >= {from_time:DateTime64(6, 'UTC')} and toDateTime64(day, 6, 'UTC') < {to_time:DateTime64(6, 'UTC')}
order by at, variant_key, event_type
limit {limit:UInt32}
