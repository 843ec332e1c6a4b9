-- sufficient_statistics.sql (ClickHouse): all that the tests need, of all experiments at once
-- Grain:  experiment × metric × variant; a metric that was never measured and a variant without users have their rows
-- Units:  assigned: all users seen in one variant only; users: those compared: all assigned, or with a window those whose window
--         is over. y, d, x, z as in 220_compared_users. mean is that of y; *_mean and centred sums of products are over all users
--         compared, those without events at 0. centred_squares: sum of (y - mean)²; yx: sum of (y - mean)(x - x_mean), ...
-- Time:   cutoff_at is the acceptance of the experiment's last fact
-- Values are added in sorted order: the same rows give the same bits.
with
    assigned as (
        select experiment_id, variant_id, count() as users from assigned_users group by experiment_id, variant_id
    ),
    ripe as (
        select experiment_id, metric, variant_id, count() as users from ripe_users group by experiment_id, metric, variant_id
    ),
    cells as (
        select experiment_id, metric, variant_id, toFloat64(count()) as n, countIf(all_events > 0) as active, countIf(all_history > 0) as known,
               arraySort(groupArray((y, d, x, z))) as sorted,
               arraySum(t -> t.1, sorted) as y_sum, arraySum(t -> t.2, sorted) as d_sum,
               arraySum(t -> t.3, sorted) as x_sum, arraySum(t -> t.4, sorted) as z_sum,
               y_sum / n as my, d_sum / n as md, x_sum / n as mx, z_sum / n as mz,
               arraySum(t -> (t.1 - my) * (t.1 - my), sorted) as yy, arraySum(t -> (t.2 - md) * (t.2 - md), sorted) as dd,
               arraySum(t -> (t.3 - mx) * (t.3 - mx), sorted) as xx, arraySum(t -> (t.4 - mz) * (t.4 - mz), sorted) as zz,
               arraySum(t -> (t.1 - my) * (t.2 - md), sorted) as yd, arraySum(t -> (t.1 - my) * (t.3 - mx), sorted) as yx,
               arraySum(t -> (t.1 - my) * (t.4 - mz), sorted) as yz, arraySum(t -> (t.2 - md) * (t.3 - mx), sorted) as dx,
               arraySum(t -> (t.2 - md) * (t.4 - mz), sorted) as dz, arraySum(t -> (t.3 - mx) * (t.4 - mz), sorted) as xz
        from metric_users
        group by experiment_id, metric, variant_id
    )
select v.experiment_id as experiment_id, f.cutoff_at as cutoff_at, m.metric as metric, m.position as metric_position, m.kind as kind,
       m.direction as direction, m.role as role, m.definition as definition,
       v.variant_id as variant_id, v.position as variant_position, v.variant_key as variant, v.weight as weight, v.is_control as is_control,
       a.users as assigned, if(m.to_seconds is null, a.users, r.users) as users, c.active as active, c.known as history_users,
       c.y_sum as sum, c.d_sum as denominator_sum,
       c.y_sum / users as mean, c.d_sum / users as d_mean, c.x_sum / users as x_mean, c.z_sum / users as z_mean,
       -- Users with rows around their own means, joined with those at 0: Chan, Golub and LeVeque (1979), eq. 2.1.
       c.n * (users - c.n) / users as apart,
       c.yy + c.my * c.my * apart as centred_squares, c.dd + c.md * c.md * apart as dd, c.xx + c.mx * c.mx * apart as xx,
       c.zz + c.mz * c.mz * apart as zz, c.yd + c.my * c.md * apart as yd, c.yx + c.my * c.mx * apart as yx,
       c.yz + c.my * c.mz * apart as yz, c.dx + c.md * c.mx * apart as dx, c.dz + c.md * c.mz * apart as dz,
       c.xz + c.mx * c.mz * apart as xz
from experiment_variants as v
inner join experiment_cutoffs as f on f.experiment_id = v.experiment_id
left join metric_terms as m on m.experiment_id = v.experiment_id
left join assigned as a on a.experiment_id = v.experiment_id and a.variant_id = v.variant_id
left join ripe as r on r.experiment_id = v.experiment_id and r.metric = m.metric and r.variant_id = v.variant_id
left join cells as c on c.experiment_id = v.experiment_id and c.metric = m.metric and c.variant_id = v.variant_id
order by experiment_id, metric_position, variant_position
