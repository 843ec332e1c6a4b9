-- hourly_metrics: events, users and value per variant, hour and event type
insert into hourly_metrics_staging
select experiment_id, variant_id, any(variant_key), toDateTime64(toStartOfInterval(timestamp, toIntervalHour(1)), 0, 'UTC') as hour, event_type,
       count() as events, uniqExact(user_id) as users, arraySum(arraySort(groupArray(value))) as value_sum
from attributed_events
where not before
group by experiment_id, variant_id, hour, event_type
