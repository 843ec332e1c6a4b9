-- user_journeys: what each user did on each day, step by step; of the experiments {first} to {last} the users of one bucket
insert into user_journeys_staging
select day, experiment_id, any(variant_id), any(variant_key), user_id,
       count() as events, countIf(event_type = 'exposure'), countIf(event_type = 'click'), countIf(event_type = 'conversion'),
       arraySum(arraySort(groupArray(value))) as value_sum,
       min(timestamp), max(timestamp), max(created_at),
       arrayMap(step -> (step.1, step.3, step.4, step.5),
                groupArraySorted(1000)((timestamp, id, toString(event_type), ifNull(toString(page), ''), value))) as steps
from attributed_events
where not before and experiment_id between {first:UInt64} and {last:UInt64} and cityHash64(user_id) % {buckets:UInt64} = {bucket:UInt64}
group by day, experiment_id, user_id
