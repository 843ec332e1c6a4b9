-- user_rollup: what each user did for each metric on each day, and had done before the assignment; of the experiments {first} to
-- {last} the users of one bucket
-- Floats are added in sorted order, so that the sum does not depend on the order in which rows arrived.
-- A property that is missing passes no filter. An event stands for one step of a funnel, the earliest that the user has yet to do.
insert into user_rollup_staging (day, experiment_id, metric, variant_id, user_id, events, value_sum, denominator_sum, counts_from,
                                 history_events, history_sum, history_denominator, measured, advance, history_advance)
with (ways, steps) -> arrayMap(
         start -> arrayFold((done, step) -> if(step.3 = done.1 and step.2 != done.2, (toUInt8(done.1 + 1), step.2), done),
                            arraySort(ways), (toUInt8(start), toUUID('00000000-0000-0000-0000-000000000000'))).1,
         range(steps)) as after_a_day
select day, experiment_id, metric, any(variant_id), user_id,
       countIf(part = 0 and not before), arraySum(arraySort(groupArrayIf(measured, part = 0 and not before))),
       arraySum(arraySort(groupArrayIf(measured, part = 1 and not before))), any(counts_from),
       countIf(part = 0 and before), arraySum(arraySort(groupArrayIf(measured, part = 0 and before))),
       arraySum(arraySort(groupArrayIf(measured, part = 1 and before))),
       arraySort(groupArrayIf(assumeNotNull(measured), of_events and measured is not null and not before)),
       after_a_day(groupArrayIf((timestamp, id, part), steps > 0 and not before), any(steps)),
       after_a_day(groupArrayIf((timestamp, id, part), steps > 0 and before), any(steps))
from (
    select e.day as day, e.experiment_id as experiment_id, e.variant_id as variant_id, e.user_id as user_id, e.before as before,
           e.counts_from as counts_from, e.timestamp as timestamp, e.id as id, m.metric as metric, m.part as part,
           m.steps as steps, m.of_events as of_events,
           multiIf(m.kind in ('proportion', 'retention', 'funnel'), null, m.property = '', 1., m.property = 'value', e.value,
                   m.property = 'score', e.score, JSONExtract(e.properties, m.property, 'Nullable(Float64)')) as found,
           -- As in events_processed: some texts are read as numbers that are none.
           if(isFinite(found), found, null) as measured
    from attributed_events as e
    inner join metric_rules as m on m.experiment_id = e.experiment_id and m.event_type = e.event_type
    where e.experiment_id between {first:UInt64} and {last:UInt64} and cityHash64(e.user_id) % {buckets:UInt64} = {bucket:UInt64}
      and (e.before or (e.timestamp >= addSeconds(e.counts_from, m.from_seconds)
                        and (m.to_seconds is null or e.timestamp < addSeconds(e.counts_from, assumeNotNull(m.to_seconds)))))
      and arrayAll(f -> ifNull(multiIf(
              f.1 = '=', f.3 = f.2 or ifNull(toFloat64OrNull(f.3) = toFloat64OrNull(f.2), false),
              f.1 = '!=', not (f.3 = f.2 or ifNull(toFloat64OrNull(f.3) = toFloat64OrNull(f.2), false)),
              f.1 = '>', toFloat64OrNull(f.3) > toFloat64OrNull(f.2), f.1 = '>=', toFloat64OrNull(f.3) >= toFloat64OrNull(f.2),
              f.1 = '<', toFloat64OrNull(f.3) < toFloat64OrNull(f.2), f.1 = '<=', toFloat64OrNull(f.3) <= toFloat64OrNull(f.2),
              f.1 = 'in', f.3 is not null and has(JSONExtract(f.2, 'Array(String)'), ifNull(f.3, '')), false), false),
              arrayMap(f -> (f.2, f.3, JSONExtract(e.properties, f.1, 'Nullable(String)')), m.filters))
)
group by day, experiment_id, metric, user_id
