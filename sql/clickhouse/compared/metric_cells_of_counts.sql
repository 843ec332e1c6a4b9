-- metric_cells: the same of metrics that say yes or no of a user, of the experiments {first} to {last}
-- A statement of its own, as both at once take longer.
insert into metric_cells (experiment_id, metric, variant_id, n, active, known, y_sum, d_sum, x_sum, z_sum, my, md, mx, mz,
                          yy, dd, xx, zz, yd, yx, yz, dx, dz, xz, by_step)
select c.experiment_id, m.metric, c.variant_id, c.n, c.active, c.known, c.did as y_sum, 0. as d_sum, c.had_done as x_sum, 0. as z_sum,
       y_sum / n as my, 0. as md, x_sum / n as mx, 0. as mz,
       y_sum * (n - y_sum) / n as yy, 0. as dd, x_sum * (n - x_sum) / n as xx, 0. as zz,
       0. as yd, c.did_again - y_sum * x_sum / n as yx, 0. as yz, 0. as dx, 0. as dz, 0. as xz, c.by_step
from (
    select experiment_id, position, variant_id, toFloat64(count()) as n, countIf(all_events > 0) as active, countIf(all_history > 0) as known,
           toFloat64(countIf(reached = steps)) as did, toFloat64(countIf(reached_before = steps)) as had_done,
           toFloat64(countIf(reached = steps and reached_before = steps)) as did_again,
           sumForEach(arrayMap(step -> toUInt64(reached > step), range(steps))) as by_step
    from counted_users
    where experiment_id between {first:UInt64} and {last:UInt64}
    group by experiment_id, position, variant_id
) as c
inner join metric_terms as m on m.experiment_id = c.experiment_id and m.position = c.position
