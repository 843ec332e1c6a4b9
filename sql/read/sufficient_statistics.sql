-- sufficient_statistics.sql (ClickHouse): all that the tests need, of all experiments at once
-- Grain:  experiment × metric × variant; a metric that was never measured and a variant without users have their rows
-- Units:  assigned: all users seen in one variant only; users: those compared: all assigned, or with a window those whose window
--         is over. y, d, x, z as in 220_compared_users. mean is that of y; *_mean and centred sums of products are over all users
--         compared, those without events at 0. centred_squares: sum of (y - mean)²; yx: sum of (y - mean)(x - x_mean), ...
--         cap: the most that a user's sum counts for, null for none. reached: of a funnel, users who did its first step, its first two, ...
--         quantile_*: of a quantile, number of values, the quantile and its 95 % interval, null where undefined
-- Time:   cutoff_at is the acceptance of the experiment's last fact
-- Quantiles are exact: the smallest value with at least that share of all values at or below it (0.9 × 10 is 9.000000000000002 in some sums).
-- Values are added in sorted order: the same rows give the same bits.
with
    (n, share) -> toInt64(greatest(1, ceil(share * n * (1 - 1e-12)))) as rank_of,
    (sorted, negative, zeros, rank) -> multiIf(rank <= negative, sorted[rank], rank <= negative + zeros, 0., sorted[rank - zeros]) as value_at,
    cells as (
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
    ),
    -- Quantiles of events by users (their variance is clustered by user), or of all users' sums.
    quantile_rules as (select * from metric_terms where quantile is not null),
    quantile_users as (
        select u.experiment_id as experiment_id, u.metric as metric, u.variant_id as variant_id,
               if(any(m.of_events), groupArrayArray(u.measured), [arraySum(arraySort(groupArray(u.value_sum)))]) as values
        from user_rollup as u
        inner join quantile_rules as m on m.experiment_id = u.experiment_id and m.metric = u.metric
        where (u.experiment_id, u.metric) in (select experiment_id, metric from metric_terms where quantile is not null)
          and (m.to_seconds is null or addSeconds(u.counts_from, assumeNotNull(m.to_seconds)) <= m.until)
          and (u.experiment_id, u.user_id) not in (select experiment_id, user_id from crossed_users)
        group by experiment_id, metric, variant_id, u.user_id
    ),
    -- A level a step: an alias that is used twice is analysed twice, and so are those in it.
    quantile_values as (
        select n.experiment_id as experiment_id, n.metric as metric, n.variant_id as variant_id, n.users as assigned,
               assumeNotNull(m.quantile) as share, m.of_events as of_events, m.ignore_zeros as ignore_zeros,
               arrayFilter(own -> notEmpty(own) and (m.of_events or not m.ignore_zeros or own[1] != 0), u.by_user) as by_user
        from compared_counts as n
        inner join quantile_rules as m on m.experiment_id = n.experiment_id and m.metric = n.metric
        left join (
            select experiment_id, metric, variant_id, groupArray(values) as by_user from quantile_users group by experiment_id, metric, variant_id
        ) as u on u.experiment_id = n.experiment_id and u.metric = n.metric and u.variant_id = n.variant_id
    ),
    quantile_sorted as (
        select experiment_id, metric, variant_id, share, of_events, by_user, toInt64(length(by_user)) as users,
               arraySort(arrayFlatten(by_user)) as sorted, arrayCount(v -> v < 0, sorted) as negative,
               if(of_events or ignore_zeros, 0, greatest(0, toInt64(assigned) - toInt64(length(by_user)))) as zeros
        from quantile_values
    ),
    quantile_found as (
        select experiment_id, metric, variant_id, share, of_events, by_user, users, sorted, negative, zeros,
               toInt64(length(sorted)) + zeros as values,
               if(values = 0, null, value_at(sorted, negative, zeros, rank_of(values, share))) as value
        from quantile_sorted
    ),
    quantile_below as (
        select experiment_id, metric, variant_id, share, of_events, users, sorted, negative, zeros, values, value,
               arrayMap(own -> (toFloat64(arrayCount(v -> ifNull(v <= value, false), own)), toFloat64(length(own))), by_user) as below,
               arraySum(t -> t.1, below) / values as share_below
        from quantile_found
    ),
    quantile_half as (
        select experiment_id, metric, variant_id, share, sorted, negative, zeros, values, value,
               -- How much larger the variance is because events repeat per user: neonblue_stats.cluster_factor.
               if(of_events, users / (users - 1) * arraySum(t -> pow(t.1 - share_below * t.2, 2), below) / (values * share * (1 - share)), 1.) as factor,
               1.959963984540054 * sqrt(factor * share * (1 - share) / values) as half
        from quantile_below
    ),
    quantiles as (
        select experiment_id, metric, variant_id, values, value,
               if(ifNull(share - half > 0 and share + half < 1, false), value_at(sorted, negative, zeros, rank_of(values, share - half)), null) as low,
               if(ifNull(share - half > 0 and share + half < 1, false), value_at(sorted, negative, zeros, rank_of(values, share + half)), null) as high
        from quantile_half
    )
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
left join assigned_counts as a on a.experiment_id = v.experiment_id and a.variant_id = v.variant_id
left join compared_counts as r on r.experiment_id = v.experiment_id and r.metric = m.metric and r.variant_id = v.variant_id
left join metric_caps as p on p.experiment_id = v.experiment_id and p.metric = m.metric
left join cells as c on c.experiment_id = v.experiment_id and c.metric = m.metric and c.variant_id = v.variant_id
left join quantiles as q on q.experiment_id = v.experiment_id and q.metric = m.metric and q.variant_id = v.variant_id
order by experiment_id, metric_position, variant_position
