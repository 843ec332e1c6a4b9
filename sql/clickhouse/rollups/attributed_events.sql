-- attributed_events: one row per event and experiment that it counts for, of the days {days}; of the {history} of users who were
-- assigned since, only what they did before the day of that assignment
-- An event counts from the assignment on, within the run, and for the experiment it names or, naming none, for all of the user's.
-- Events of the metrics' types in the 14 days before that are history (before), whichever experiment they name.
-- Of the assignments only those of users with an event on {days} are held in memory, however many there are.
insert into attributed_events (experiment_id, variant_id, variant_key, user_id, day, timestamp, id, event_type, page, value, score,
                               properties, created_at, before, counts_from)
select a.experiment_id, a.variant_id, a.variant_key, e.user_id, e.event_date, e.timestamp, e.id, e.event_type, e.page, e.value, e.score,
       -- Numbers that the parser refuses are mended as in 131.
       multiIf(not a.reads_properties, '', isValidJSON(e.properties), e.properties,
               arrayStringConcat(arrayMap(
                   token -> multiIf(not match(token, '^-?[0-9]') or length(token) < 19, token,
                                    not isFinite(toFloat64OrZero(token)), 'null',
                                    match(token, '^-?[0-9]+$'), concat(token, 'e0'), token),
                   extractAll(e.properties, '"(?:[^"\\\\]|\\\\.)*"|-?[0-9][0-9.eE+-]*|[^"0-9-]+')))),
       e.created_at, e.timestamp < a.assigned_at, a.counts_from
from (
    select user_id, experiment_id, event_date, timestamp, id, event_type, page, value, score, properties, created_at
    from events_processed
    where event_date in {days:Array(Date32)}
      and (not {history:Bool} or cityHash64(user_id) in (select cityHash64(user_id) from dirty_assignments))
) as e
inner join (
    select a.user_id as user_id, a.experiment_id as experiment_id, a.variant_id as variant_id, a.variant_key as variant_key,
           a.assigned_at as assigned_at,
           greatest(a.assigned_at, assumeNotNull(d.started_at)) as counts_from,
           ifNull(d.stopped_at, toDateTime64('2299-12-31 23:59:59', 6, 'UTC')) as counts_until,
           r.event_types as metric_types, r.reads_properties as reads_properties
    from assignments_mv as a
    inner join (select * from experiment_definitions where started_at is not null) as d on d.experiment_id = a.experiment_id
    left join (
        select experiment_id, groupUniqArray(event_type) as event_types,
               max(property not in ('', 'value', 'score') or notEmpty(filters)) as reads_properties
        from metric_rules
        group by experiment_id
    ) as r on r.experiment_id = a.experiment_id
    where a.assigned_at < toDateTime64(arrayMax({days:Array(Date32)}) + 15, 6, 'UTC')
      and cityHash64(a.user_id) in (select cityHash64(user_id) from events_rows where toDate32(timestamp) in {days:Array(Date32)})
      and (not {history:Bool} or cityHash64(a.experiment_id, a.user_id) in (select cityHash64(experiment_id, user_id) from dirty_assignments))
) as a on a.user_id = e.user_id
where (not {history:Bool} or e.event_date < toDate32(a.assigned_at)) and if(e.timestamp < a.assigned_at,
         e.timestamp >= a.counts_from - toIntervalDay(14) and has(a.metric_types, e.event_type),
         e.timestamp >= a.counts_from and e.timestamp < a.counts_until and (e.experiment_id is null or e.experiment_id = a.experiment_id))
