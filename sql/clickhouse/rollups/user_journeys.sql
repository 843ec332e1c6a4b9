-- user_journeys: what each user did on each day, step by step; of the experiments {first} to {last} the users of one bucket
-- A step is a tuple with texts, of which groupArraySorted compares each as a value of any type: twice the time of all else together. So it
-- is left to users with so many events that all of them may not be held; user_days_staging has them, of the same days.
insert into user_journeys_staging
with user_id in (select user_id from user_days_staging where events > 10000) as busy,
     (timestamp, id, toString(event_type), ifNull(toString(page), ''), value) as step
select day, experiment_id, any(variant_id), any(variant_key), user_id,
       count() as events, countIf(event_type = 'exposure'), countIf(event_type = 'click'), countIf(event_type = 'conversion'),
       arraySum(arraySort(groupArray(value))) as value_sum,
       min(timestamp), max(timestamp), max(created_at),
       arrayMap(step -> (step.1, step.3, step.4, step.5),
                arrayConcat(arraySlice(arraySort(groupArrayIf(step, not busy)), 1, 1000), groupArraySortedIf(1000)(step, busy))) as steps
from attributed_events
where not before and experiment_id between {first:UInt64} and {last:UInt64} and cityHash64(user_id) % {buckets:UInt64} = {bucket:UInt64}
group by day, experiment_id, user_id
