-- metric_cells: of metrics that add values up, sums and centred sums of products over the compared users who have rows; of the
-- experiments {first} to {last}
-- Exact in the metric's units (220), divided by n once: what is left out is less than one product of units a user.
insert into metric_cells (experiment_id, metric, variant_id, n, active, known, y_sum, d_sum, x_sum, z_sum, my, md, mx, mz,
                          yy, dd, xx, zz, yd, yx, yz, dx, dz, xz, by_step)
with (ab, a, b, n) -> toFloat64(ab - intDiv(a, n) * b - intDiv(b, n) * a + n * intDiv(a, n) * intDiv(b, n)) as centred
select c.experiment_id, t.metric, c.variant_id, toFloat64(users) as n, active, known,
       toFloat64(y) * t.y_unit as y_sum, toFloat64(d) * t.d_unit as d_sum, toFloat64(x) * t.x_unit as x_sum, toFloat64(z) * t.z_unit as z_sum,
       y_sum / n as my, d_sum / n as md, x_sum / n as mx, z_sum / n as mz,
       centred(y_y, y, y, users) * t.y_unit * t.y_unit as yy, centred(d_d, d, d, users) * t.d_unit * t.d_unit as dd,
       centred(x_x, x, x, users) * t.x_unit * t.x_unit as xx, centred(z_z, z, z, users) * t.z_unit * t.z_unit as zz,
       centred(y_d, y, d, users) * t.y_unit * t.d_unit as yd, centred(y_x, y, x, users) * t.y_unit * t.x_unit as yx,
       centred(y_z, y, z, users) * t.y_unit * t.z_unit as yz, centred(d_x, d, x, users) * t.d_unit * t.x_unit as dx,
       centred(d_z, d, z, users) * t.d_unit * t.z_unit as dz, centred(x_z, x, z, users) * t.x_unit * t.z_unit as xz,
       []::Array(UInt64) as by_step
from (
    select experiment_id, position, variant_id, toInt256(count()) as users, countIf(all_events > 0) as active, countIf(all_history > 0) as known,
           toInt256(sum(s.y)) as y, toInt256(sum(s.d)) as d, toInt256(sum(s.x)) as x, toInt256(sum(s.z)) as z,
           sum(toInt256(s.y) * s.y) as y_y, sum(toInt256(s.d) * s.d) as d_d, sum(toInt256(s.x) * s.x) as x_x, sum(toInt256(s.z) * s.z) as z_z,
           sum(toInt256(s.y) * s.d) as y_d, sum(toInt256(s.y) * s.x) as y_x, sum(toInt256(s.y) * s.z) as y_z,
           sum(toInt256(s.d) * s.x) as d_x, sum(toInt256(s.d) * s.z) as d_z, sum(toInt256(s.x) * s.z) as x_z
    from summed_users as s
    where s.experiment_id between {first:UInt64} and {last:UInt64}
    group by experiment_id, position, variant_id
) as c
inner join metric_terms as t on t.experiment_id = c.experiment_id and t.position = c.position
