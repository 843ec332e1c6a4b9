-- metric_cells: sums and centred sums of products over the compared users who have rows
-- Values are added in sorted order: the same rows give the same bits.
insert into metric_cells (experiment_id, metric, variant_id, n, active, known, y_sum, d_sum, x_sum, z_sum, my, md, mx, mz,
                          yy, dd, xx, zz, yd, yx, yz, dx, dz, xz, by_step)
with arraySort(groupArray((u.y, u.d, u.x, u.z))) as sorted
select experiment_id, metric, variant_id, toFloat64(count()) as n, countIf(all_events > 0) as active, countIf(all_history > 0) as known,
       arraySum(t -> t.1, sorted) as y_sum, arraySum(t -> t.2, sorted) as d_sum,
       arraySum(t -> t.3, sorted) as x_sum, arraySum(t -> t.4, sorted) as z_sum,
       y_sum / n as my, d_sum / n as md, x_sum / n as mx, z_sum / n as mz,
       arraySum(t -> (t.1 - my) * (t.1 - my), sorted) as yy, arraySum(t -> (t.2 - md) * (t.2 - md), sorted) as dd,
       arraySum(t -> (t.3 - mx) * (t.3 - mx), sorted) as xx, arraySum(t -> (t.4 - mz) * (t.4 - mz), sorted) as zz,
       arraySum(t -> (t.1 - my) * (t.2 - md), sorted) as yd, arraySum(t -> (t.1 - my) * (t.3 - mx), sorted) as yx,
       arraySum(t -> (t.1 - my) * (t.4 - mz), sorted) as yz, arraySum(t -> (t.2 - md) * (t.3 - mx), sorted) as dx,
       arraySum(t -> (t.2 - md) * (t.4 - mz), sorted) as dz, arraySum(t -> (t.3 - mx) * (t.4 - mz), sorted) as xz,
       []::Array(UInt64) as by_step
from summed_users as u
group by experiment_id, metric, variant_id
union all
select experiment_id, metric, variant_id, toFloat64(count()) as n, countIf(all_events > 0) as active, countIf(all_history > 0) as known,
       toFloat64(countIf(reached = steps)) as y_sum, 0. as d_sum,
       toFloat64(countIf(reached_before = steps)) as x_sum, 0. as z_sum,
       y_sum / n as my, 0. as md, x_sum / n as mx, 0. as mz,
       y_sum * (n - y_sum) / n as yy, 0. as dd, x_sum * (n - x_sum) / n as xx, 0. as zz,
       0. as yd, countIf(reached = steps and reached_before = steps) - y_sum * x_sum / n as yx, 0. as yz, 0. as dx, 0. as dz, 0. as xz,
       sumForEach(arrayMap(step -> toUInt64(reached > step), range(steps))) as by_step
from counted_users
group by experiment_id, metric, variant_id
