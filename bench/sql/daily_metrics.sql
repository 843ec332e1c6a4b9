-- daily_metrics.sql: the days of hourly_metrics.sql
insert into daily_metrics (experiment_id, variant_id, variant_key, day, event_type, events, users, value_sum)
select experiment_id, variant_id, variant_key, toDate32(hour), event_type, sum(events), sum(users), sum(value_sum)
from hourly_metrics
group by experiment_id, variant_id, variant_key, toDate32(hour), event_type
