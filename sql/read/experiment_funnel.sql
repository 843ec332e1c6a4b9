-- experiment_funnel.sql (ClickHouse): how many users of one experiment went through the steps in their order
-- Grain:  variant × number of steps reached (1 and more); parameters experiment_id, steps
-- Units:  users: distinct, each counted at the last step reached
-- Steps may lie days apart and other events between them; an event stands for one step.
select variant_key, reached, count() as users
from (
    select user_id, any(variant_key) as variant_key,
           arrayFold((done, step) -> if(done < length({steps:Array(String)}) and step.event_type = {steps:Array(String)}[done + 1],
                                        done + 1, done),
                     arraySort(step -> step.timestamp, arrayFlatten(groupArray(steps))), toUInt64(0)) as reached
    from user_journeys
    where experiment_id = {experiment_id:UInt64}
    group by user_id
)
where reached > 0
group by variant_key, reached
order by variant_key, reached
