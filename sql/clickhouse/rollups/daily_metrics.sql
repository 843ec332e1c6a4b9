-- daily_metrics: events, users and value per variant, day and event type
insert into daily_metrics_staging
select experiment_id, variant_id, any(variant_key), day, event_type,
       count() as events, uniqExact(user_id) as users, arraySum(arraySort(groupArray(value))) as value_sum
from attributed_events
where not before
group by experiment_id, variant_id, day, event_type
