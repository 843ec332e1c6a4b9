-- sufficient_statistics.sql (ClickHouse): all that the tests need, of all experiments at once
-- Grain:  experiment × metric × variant; a metric that was never measured and a variant without users have their rows
-- Units:  assigned: all users; users: those compared: all assigned, or with a window those whose window is over.
--         Of each user y: the metric (1 or 0 for a proportion or retention; else the sum, at most cap), d: a ratio's denominator,
--         x, z: the same two before the assignment. mean is that of y; *_mean and centred sums of products are over all users
--         compared, those without events at 0. centred_squares: sum of (y - mean)²; yx: sum of (y - mean)(x - x_mean), ...
-- Time:   cutoff_at is the acceptance of the experiment's last fact; windows are over by then and by the end of the run
-- Values are added in sorted order: the same rows give the same bits.
with
    assigned as (
        select experiment_id, variant_id, count() as users, max(created_at) as last_accepted_at
        from assignments_mv
        group by experiment_id, variant_id
    ),
    last_facts as (
        select experiment_id, max(at) as at
        from (
            select experiment_id, max(last_accepted_at) as at from user_journeys group by experiment_id
            union all
            select experiment_id, max(last_accepted_at) as at from assigned group by experiment_id
            union all
            select experiment_id, updated_at as at from experiment_definitions
        )
        group by experiment_id
    ),
    rules as (
        select r.experiment_id as experiment_id, r.position as position, r.metric as metric, r.kind as kind, r.direction as direction,
               r.role as role, r.definition as definition, r.cap as cap, r.to_seconds as to_seconds, d.started_at as started_at,
               least(f.at, ifNull(d.stopped_at, f.at)) as until
        from (select * from metric_rules where part = 0) as r
        inner join experiment_definitions as d on d.experiment_id = r.experiment_id
        inner join last_facts as f on f.experiment_id = r.experiment_id
    ),
    ripe as (
        select m.experiment_id as experiment_id, m.metric as metric, a.variant_id as variant_id, count() as users
        from assignments_mv as a
        inner join (select * from rules where to_seconds is not null and started_at is not null) as m on m.experiment_id = a.experiment_id
        where addSeconds(greatest(a.assigned_at, assumeNotNull(m.started_at)), assumeNotNull(m.to_seconds)) <= m.until
        group by experiment_id, metric, variant_id
    ),
    per_user as (
        select u.experiment_id as experiment_id, u.metric as metric, u.variant_id as variant_id, u.user_id as user_id,
               any(m.kind in ('proportion', 'retention')) as yes_or_no, any(ifNull(m.cap, inf)) as most,
               sum(u.events) as all_events, sum(u.history_events) as all_history,
               if(yes_or_no, toFloat64(all_events > 0), least(arraySum(arraySort(groupArray(u.value_sum))), most)) as y,
               arraySum(arraySort(groupArray(u.denominator_sum))) as d,
               if(yes_or_no, toFloat64(all_history > 0), least(arraySum(arraySort(groupArray(u.history_sum))), most)) as x,
               arraySum(arraySort(groupArray(u.history_denominator))) as z
        from user_rollup as u
        inner join rules as m on m.experiment_id = u.experiment_id and m.metric = u.metric
        where m.to_seconds is null or addSeconds(u.counts_from, assumeNotNull(m.to_seconds)) <= m.until
        group by experiment_id, metric, variant_id, user_id
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
        from per_user
        group by experiment_id, metric, variant_id
    )
select v.experiment_id as experiment_id, f.at as cutoff_at, m.metric as metric, m.position as metric_position, m.kind as kind,
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
inner join last_facts as f on f.experiment_id = v.experiment_id
left join rules as m on m.experiment_id = v.experiment_id
left join assigned as a on a.experiment_id = v.experiment_id and a.variant_id = v.variant_id
left join ripe as r on r.experiment_id = v.experiment_id and r.metric = m.metric and r.variant_id = v.variant_id
left join cells as c on c.experiment_id = v.experiment_id and c.metric = m.metric and c.variant_id = v.variant_id
order by experiment_id, metric_position, variant_position
