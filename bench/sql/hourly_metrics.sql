-- hourly_metrics.sql: {events} events of an experiment, evenly over variants, event types and 72 hours
insert into hourly_metrics (experiment_id, variant_id, variant_key, hour, event_type, events, users, value_sum)
select v.experiment_id, v.variant_id, v.variant_key, {start:DateTime64(6, 'UTC')} + toIntervalHour(n.number), type,
       intDiv({events:UInt64}, 2 * 4 * 72), intDiv({events:UInt64}, 8 * 4 * 72), if(type = 'conversion', 39990, 0)
from (select * from experiment_variants where experiment_id = {experiment_id:UInt64}) as v
cross join numbers(72) as n
array join ['page_view', 'click', 'exposure', 'conversion'] as type
