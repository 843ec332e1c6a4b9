-- metric_terms: what each metric measures, of users who began until when, and in which units its values are added up
-- A unit: the power of two at or below the most that a user can have by the largest rows of each day, times 2^-99. Values below
-- 1e-270 are nothing; a yes is 1 in a unit of 1; where there is an infinite one, the figures become null.
insert into metric_terms (experiment_id, position, metric, kind, event_type, direction, role, definition, cap, cap_percentile,
                          ignore_zeros, quantile, of_events, steps, counted, to_seconds, y_unit, d_unit, x_unit, z_unit, started_at, ripe_until)
with largest -> reinterpretAsFloat64(bitAnd(reinterpretAsUInt64(greatest(largest, 1e-270)), 0x7FF0000000000000)) * exp2(-99) as unit
select r.experiment_id as experiment_id, r.position as position, r.metric as metric, r.kind as kind, r.event_type as event_type,
       r.direction as direction, r.role as role, r.definition as definition, r.cap as cap, r.cap_percentile as cap_percentile, r.ignore_zeros as ignore_zeros,
       r.quantile as quantile, r.of_events as of_events, r.steps as steps,
       r.kind in ('proportion', 'retention', 'funnel') as counted, r.to_seconds as to_seconds,
       if(counted, 1., unit(l.y)) as y_unit, unit(l.d) as d_unit, if(counted, 1., unit(l.x)) as x_unit, unit(l.z) as z_unit,
       d.started_at as started_at,
       if(to_seconds is null, toDateTime64('2299-12-31 23:59:59', 6, 'UTC'),
          least(c.cutoff_at, ifNull(d.stopped_at, c.cutoff_at)) - toIntervalSecond(assumeNotNull(to_seconds))) as ripe_until
from (select * from metric_rules where part = 0) as r
inner join experiment_definitions as d on d.experiment_id = r.experiment_id
inner join experiment_cutoffs as c on c.experiment_id = r.experiment_id
left join (
    select experiment_id, metric, sum(of_day.1) as y, sum(of_day.2) as d, sum(of_day.3) as x, sum(of_day.4) as z
    from (
        select experiment_id, metric,
               (max(abs(value_sum)), max(abs(denominator_sum)), max(abs(history_sum)), max(abs(history_denominator))) as of_day
        from user_rollup
        where experiment_id in (select experiment_id from experiment_cutoffs)
        group by experiment_id, metric, day
    )
    group by experiment_id, metric
) as l on l.experiment_id = r.experiment_id and l.metric = r.metric
