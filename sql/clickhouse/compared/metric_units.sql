-- metric_units: in which units the values of each metric are added up
-- A unit: the power of two at or below the most that a user can have by the largest rows of each day, times 2^-99; where there is a
-- cap, by 2^40 caps, or one value out of all proportion would leave no digit of the others. Values below 1e-270 are nothing; a yes
-- is 1 in a unit of 1; where there is an infinite one and no cap, the figures become null.
insert into metric_units (experiment_id, position, metric, y_unit, d_unit, x_unit, z_unit)
with
    largest -> reinterpretAsFloat64(bitAnd(reinterpretAsUInt64(greatest(largest, 1e-270)), 0x7FF0000000000000)) * exp2(-99) as unit,
    (above, below, cap) -> greatest(below, least(above, cap * exp2(40))) as capped
select t.experiment_id as experiment_id, t.position as position, t.metric as metric,
       if(t.counted, 1., unit(capped(l.y_above, l.y_below, least(ifNull(t.cap, inf), ifNull(c.cap, inf))))) as y_unit,
       unit(l.d) as d_unit,
       if(t.counted, 1., unit(capped(l.x_above, l.x_below, least(ifNull(t.cap, inf), ifNull(c.history_cap, inf))))) as x_unit,
       unit(l.z) as z_unit
from metric_terms as t
left join metric_caps as c on c.experiment_id = t.experiment_id and c.metric = t.metric
left join (
    select experiment_id, metric, sum(of_day.1) as y_above, sum(of_day.2) as y_below, sum(of_day.3) as d,
           sum(of_day.4) as x_above, sum(of_day.5) as x_below, sum(of_day.6) as z
    from (
        select experiment_id, metric,
               (greatest(max(value_sum), 0), greatest(-min(value_sum), 0), max(abs(denominator_sum)),
                greatest(max(history_sum), 0), greatest(-min(history_sum), 0), max(abs(history_denominator))) as of_day
        from user_rollup
        where experiment_id in (select experiment_id from experiment_cutoffs)
        group by experiment_id, metric, day
    )
    group by experiment_id, metric
) as l on l.experiment_id = t.experiment_id and l.metric = t.metric
