-- rollup_differences.sql (ClickHouse): where the rollups of some days differ from a recount of the events behind them
-- Grain:  rollup × experiment × day × cell; parameters first_day, last_day, except (days that wait to be built),
--         of_a_day (cells of each rollup and day, at most)
-- Units:  events: number; value: sum of properties.value. Sums of values may differ in their last digits by the order of adding
-- An event counts from the assignment on, within the run, and for the experiment it names or, naming none, for all of the user's.
with plain_metrics as (
    select * from metric_rules where kind in ('proportion', 'mean') and empty(filters) and from_seconds = 0 and to_seconds is null
),
counted as (
    select a.experiment_id as experiment_id, a.variant_id as variant_id, e.event_date as day, e.event_type as event_type,
           e.user_id as user_id, count() as events, sum(e.value) as value
    from (
        select user_id, experiment_id, event_date, timestamp, event_type, value from events_processed
        where timestamp >= toDateTime64({first_day:Date32}, 6, 'UTC') and timestamp < toDateTime64({last_day:Date32} + 1, 6, 'UTC')
          and event_date not in {except:Array(Date32)}
    ) as e
    inner join (
        select a.user_id as user_id, a.experiment_id as experiment_id, a.variant_id as variant_id,
               greatest(a.assigned_at, assumeNotNull(d.started_at)) as counts_from,
               ifNull(d.stopped_at, toDateTime64('2299-12-31 23:59:59', 6, 'UTC')) as counts_until
        from assignments_mv as a
        inner join (select * from experiment_definitions where started_at is not null) as d on d.experiment_id = a.experiment_id
    ) as a on a.user_id = e.user_id
    where e.timestamp >= a.counts_from and e.timestamp < a.counts_until and (e.experiment_id is null or e.experiment_id = a.experiment_id)
    group by experiment_id, variant_id, day, event_type, user_id
)
select relation, experiment_id, day, cell, sum(c.1) as counted_events, sum(c.2) as rolled_events,
       sum(c.3) as counted_value, sum(c.4) as rolled_value
from (
    select 'daily_metrics' as relation, experiment_id, day, concat('variant ', toString(variant_id), ', ', event_type) as cell,
           (events, 0, ifNull(value, 0), 0.)::Tuple(UInt64, UInt64, Float64, Float64) as c from counted
    union all
    select 'daily_metrics', experiment_id, day, concat('variant ', toString(variant_id), ', ', event_type),
           (0, events, 0., value_sum)::Tuple(UInt64, UInt64, Float64, Float64) from daily_metrics
    where day between {first_day:Date32} and {last_day:Date32} and day not in {except:Array(Date32)}
    union all
    select 'hourly_metrics', experiment_id, day, concat('variant ', toString(variant_id), ', ', event_type),
           (events, 0, ifNull(value, 0), 0.)::Tuple(UInt64, UInt64, Float64, Float64) from counted
    union all
    select 'hourly_metrics', experiment_id, toDate32(hour) as day, concat('variant ', toString(variant_id), ', ', event_type),
           (0, events, 0., value_sum)::Tuple(UInt64, UInt64, Float64, Float64) from hourly_metrics
    where day between {first_day:Date32} and {last_day:Date32} and day not in {except:Array(Date32)}
    union all
    select 'user_journeys', experiment_id, day, concat('user ', user_id),
           (events, 0, ifNull(value, 0), 0.)::Tuple(UInt64, UInt64, Float64, Float64) from counted
    union all
    select 'user_journeys', experiment_id, day, concat('user ', user_id),
           (0, events, 0., value_sum)::Tuple(UInt64, UInt64, Float64, Float64) from user_journeys
    where day between {first_day:Date32} and {last_day:Date32} and day not in {except:Array(Date32)}
    union all
    select 'user_rollup', c.experiment_id, c.day, concat('metric ', m.metric, ', user ', c.user_id),
           (c.events, 0, if(m.property = 'value', ifNull(c.value, 0), 0), 0.)::Tuple(UInt64, UInt64, Float64, Float64)
    from counted as c
    inner join plain_metrics as m on m.experiment_id = c.experiment_id and m.event_type = c.event_type
    union all
    -- Sums of another property than value are recounted by nobody here: their events are. Nor are metrics with filters or a window.
    select 'user_rollup', u.experiment_id, u.day, concat('metric ', u.metric, ', user ', u.user_id),
           (0, u.events, 0., if(m.property = 'value', u.value_sum, 0))::Tuple(UInt64, UInt64, Float64, Float64)
    from user_rollup as u
    inner join plain_metrics as m on m.experiment_id = u.experiment_id and m.metric = u.metric
    where u.day between {first_day:Date32} and {last_day:Date32} and u.day not in {except:Array(Date32)}
)
group by relation, experiment_id, day, cell
having counted_events != rolled_events
    or abs(counted_value - rolled_value) > 1e-9 * greatest(abs(counted_value), abs(rolled_value), 1)
order by relation, experiment_id, day, cell
limit {of_a_day:UInt64} by relation, day
