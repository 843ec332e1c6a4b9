-- attributed_events: one row per event and experiment that it counts for, of the days {days}
-- An event counts from the assignment on, within the run, and for the experiment it names or, naming none, for all of the user's.
insert into attributed_events
select a.experiment_id, a.variant_id, a.variant_key, e.user_id, e.event_date, e.timestamp, e.id, e.event_type, e.page, e.value, e.score,
       if(a.reads_properties, e.properties, ''), e.created_at
from (
    select user_id, experiment_id, event_date, timestamp, id, event_type, page, value, score, properties, created_at
    from events_processed
    where event_date in {days:Array(Date32)}
      and timestamp >= toDateTime64({first_day:Date32}, 6, 'UTC') and timestamp < toDateTime64({last_day:Date32} + 1, 6, 'UTC')
) as e
inner join (
    select a.user_id as user_id, a.experiment_id as experiment_id, a.variant_id as variant_id, a.variant_key as variant_key,
           greatest(a.assigned_at, assumeNotNull(d.started_at)) as counts_from,
           ifNull(d.stopped_at, toDateTime64('2299-12-31 23:59:59', 6, 'UTC')) as counts_until,
           d.experiment_id in (
               select experiment_id from experiment_metrics where kind = 'mean' and value_property not in ('value', 'score')
           ) as reads_properties
    from assignments_mv as a
    inner join (select * from experiment_definitions where started_at is not null) as d on d.experiment_id = a.experiment_id
    where a.assigned_at < toDateTime64({last_day:Date32} + 1, 6, 'UTC')
) as a on a.user_id = e.user_id
where e.timestamp >= a.counts_from and e.timestamp < a.counts_until
  and (e.experiment_id is null or e.experiment_id = a.experiment_id)
