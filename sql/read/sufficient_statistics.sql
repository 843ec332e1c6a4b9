-- sufficient_statistics.sql (ClickHouse): all that the tests need, of all experiments at once
-- Grain:  experiment × metric × variant; a metric that was never measured and a variant without users have their rows
-- Units:  assigned: all users seen in one variant only; users: those compared: all assigned, or with a window those whose window
--         is over. y, d, x, z as in 220_compared_users. mean is that of y; *_mean and centred sums of products are over all users
--         compared, those without events at 0. centred_squares: sum of (y - mean)²; yx: sum of (y - mean)(x - x_mean), ...
--         cap: the most that a user's sum counts for, null for none. reached: of a funnel, users who did its first step, its first two, ...
--         quantile_*: of a quantile, number of values, the quantile and its 95 % interval, null where undefined
-- Time:   cutoff_at is the acceptance of the experiment's last fact
select v.experiment_id as experiment_id, f.cutoff_at as cutoff_at, m.metric as metric, m.position as metric_position, m.kind as kind, m.event_type as event_type,
       m.direction as direction, m.role as role, m.definition as definition,
       v.variant_id as variant_id, v.position as variant_position, v.variant_key as variant, v.weight as weight, v.is_control as is_control,
       a.users as assigned, if(m.metric = '', a.users, r.users) as users, c.active as active, c.known as history_users,
       c.y_sum as sum, c.d_sum as denominator_sum,
       c.y_sum / users as mean, c.d_sum / users as d_mean, c.x_sum / users as x_mean, c.z_sum / users as z_mean,
       -- Users with rows around their own means, joined with those at 0: Chan, Golub and LeVeque (1979), eq. 2.1.
       c.n * (users - c.n) / users as apart,
       c.yy + c.my * c.my * apart as centred_squares, c.dd + c.md * c.md * apart as dd, c.xx + c.mx * c.mx * apart as xx,
       c.zz + c.mz * c.mz * apart as zz, c.yd + c.my * c.md * apart as yd, c.yx + c.my * c.mx * apart as yx,
       c.yz + c.my * c.mz * apart as yz, c.dx + c.md * c.mx * apart as dx, c.dz + c.md * c.mz * apart as dz,
       c.xz + c.mx * c.mz * apart as xz,
       least(ifNull(m.cap, inf), ifNull(p.cap, inf)) as most, if(most = inf, null, most) as cap,
       m.steps as steps, c.by_step as reached,
       q.values as quantile_values, q.value as quantile_value, q.low as quantile_low, q.high as quantile_high
from experiment_variants as v
inner join experiment_cutoffs as f on f.experiment_id = v.experiment_id
left join metric_terms as m on m.experiment_id = v.experiment_id
left join (select experiment_id, variant_id, sum(users) as users from assigned_counts group by experiment_id, variant_id) as a
    on a.experiment_id = v.experiment_id and a.variant_id = v.variant_id
left join compared_counts as r on r.experiment_id = v.experiment_id and r.metric = m.metric and r.variant_id = v.variant_id
left join metric_caps as p on p.experiment_id = v.experiment_id and p.metric = m.metric
left join (select * from metric_cells where dimension = '') as c
    on c.experiment_id = v.experiment_id and c.position = m.position and c.variant_id = v.variant_id
left join metric_quantiles as q on q.experiment_id = v.experiment_id and q.metric = m.metric and q.variant_id = v.variant_id
order by experiment_id, metric_position, variant_position
