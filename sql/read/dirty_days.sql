-- dirty_days.sql (ClickHouse): the days that have to be built again as a whole, as their rollups differ from the rows behind them
-- Grain:  one row per day: why it is dirty, and how many events that it may not have been built with (redelivered ones included)
-- Time:   UTC days of the events' timestamps; an assignment touches the days from its own on, and those on which the user was
--         counted before it (history_days are the others); a definition also touches the 14 days of history before it
-- A new experiment that has no users yet makes no day dirty.
with
    changed as (
        select d.experiment_id as experiment_id, r.experiment_id = 0 or d.metrics != r.metrics or d.started_at is distinct from r.started_at as whole,
               -- Only the end moved: what lies before both ends stays as it is.
               if(whole, least(ifNull(d.started_at, r.started_at), ifNull(r.started_at, d.started_at)) - toIntervalDay(14),
                         least(ifNull(d.stopped_at, r.stopped_at), ifNull(r.stopped_at, d.stopped_at))) as dirty_from,
               if(whole, greatest(ifNull(d.stopped_at, toDateTime64('2299-12-31', 6, 'UTC')), ifNull(r.stopped_at, d.stopped_at)),
                         toDateTime64('2299-12-31', 6, 'UTC')) as dirty_until
        from experiment_definitions as d
        left join (select * from rolled_definitions final) as r on r.experiment_id = d.experiment_id
        where (d.started_at is not null or r.started_at is not null)
          and (r.experiment_id = 0 or d.metrics != r.metrics or d.started_at is distinct from r.started_at
               or d.stopped_at is distinct from r.stopped_at)
    )
select day, arraySort(groupUniqArray(cause)) as causes, max(events) as events
from (
    select day, 'events' as cause, sum(events) as events from dirty_days group by day
    union all
    -- Who did something on a day that was built is in user_days; a day that was not has marks of its events. Days are those of all
    -- marked users together: of millions who are assigned at once a set fits into memory, and a table to join with does not.
    select day, 'assignments' as cause, 0 as events
    from user_days
    where cityHash64(user_id) in (select cityHash64(user_id) from dirty_assignments)
      and day >= (select min(toDate32(assigned_at) - if(experiment_id = 0, 14, 0)) from dirty_assignments)
    group by day
    union all
    select day, 'assignments' as cause, 0 as events
    from user_journeys
    where (experiment_id, user_id) in (select experiment_id, user_id from dirty_assignments)
      and day < (select max(toDate32(assigned_at)) from dirty_assignments)
    group by day
    union all
    select toDate32(timestamp) as day, 'definitions' as cause, count() as events
    from events_rows
    where timestamp >= (select min(dirty_from) from changed) and timestamp <= (select max(dirty_until) from changed)
      and (select count() from changed) > 0
      -- Only its users' events count for an experiment. By hash: a set of millions stays small, and a day too many does no harm.
      and cityHash64(user_id) in (select cityHash64(user_id) from assignments_rows where experiment_id in (select experiment_id from changed))
    group by day
)
group by day
order by day
-- Larger sets are not kept once more for the index.
settings use_index_for_in_with_subqueries_max_values = 1000000
