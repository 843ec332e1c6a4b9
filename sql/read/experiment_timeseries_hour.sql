-- experiment_timeseries_hour.sql (ClickHouse): one experiment over time, by the hour
-- Grain:  hour × variant × event type, in that order; parameters experiment_id, event_type ('' for all), from_time, to_time, limit
-- Units:  users: distinct within the hour; value: sum of properties.value
-- Time:   UTC; a hour that begins at or after from_time and before to_time
select toDateTime64(hour, 6, 'UTC') as at, variant_key, event_type, events, users, value_sum as value
from hourly_metrics
where experiment_id = {experiment_id:UInt64}
  and ({event_type:String} = '' or event_type = {event_type:String})
  and toDateTime64(hour, 6, 'UTC') >= {from_time:DateTime64(6, 'UTC')} and toDateTime64(hour, 6, 'UTC') < {to_time:DateTime64(6, 'UTC')}
order by at, variant_key, event_type
limit {limit:UInt32}
