-- segment_statistics.sql (ClickHouse): as sufficient_statistics, of the users of each segment in user_segments
-- Grain:  experiment × metric × dimension × segment × variant; a segment without users in a variant has its row, too;
--         quantiles are left out: they have no sums
-- Units:  as in sufficient_statistics; what users did before the assignment is left out
-- Time:   cutoff_at is the acceptance of the experiment's last fact
with
    members as (
        select experiment_id, dimension, segment, variant_id, count() as users
        from user_segments
        group by experiment_id, dimension, segment, variant_id
    ),
    ripe as (
        select s.experiment_id as experiment_id, m.metric as metric, s.dimension as dimension, s.segment as segment,
               s.variant_id as variant_id, count() as users
        from user_segments as s
        inner join (select * from metric_terms where to_seconds is not null and started_at is not null) as m on m.experiment_id = s.experiment_id
        where greatest(s.assigned_at, assumeNotNull(m.started_at)) <= m.ripe_until
        group by experiment_id, metric, dimension, segment, variant_id
    )
select g.experiment_id as experiment_id, f.cutoff_at as cutoff_at, m.metric as metric, m.position as metric_position, m.kind as kind,
       m.direction as direction, m.role as role, m.definition as definition, g.dimension as dimension, g.segment as segment,
       g.known_before as known_before, v.variant_id as variant_id, v.position as variant_position, v.variant_key as variant,
       v.weight as weight, v.is_control as is_control,
       a.users as assigned, if(m.to_seconds is null, a.users, r.users) as users, c.active as active,
       c.y_sum as sum, c.d_sum as denominator_sum, c.y_sum / users as mean, c.d_sum / users as d_mean,
       -- Users with rows around their own means, joined with those at 0: Chan, Golub and LeVeque (1979), eq. 2.1.
       c.n * (users - c.n) / users as apart,
       c.yy + c.my * c.my * apart as centred_squares, c.dd + c.md * c.md * apart as dd, c.yd + c.my * c.md * apart as yd
from (
    select experiment_id, dimension, segment, min(known_before) as known_before from user_segments group by experiment_id, dimension, segment
) as g
inner join experiment_variants as v on v.experiment_id = g.experiment_id
inner join experiment_cutoffs as f on f.experiment_id = g.experiment_id
inner join (select * from metric_terms where kind != 'quantile') as m on m.experiment_id = g.experiment_id
left join members as a
    on a.experiment_id = g.experiment_id and a.dimension = g.dimension and a.segment = g.segment and a.variant_id = v.variant_id
left join ripe as r
    on r.experiment_id = g.experiment_id and r.metric = m.metric and r.dimension = g.dimension and r.segment = g.segment
    and r.variant_id = v.variant_id
left join (select * from metric_cells where dimension != '') as c
    on c.experiment_id = g.experiment_id and c.position = m.position and c.dimension = g.dimension and c.segment = g.segment
    and c.variant_id = v.variant_id
order by experiment_id, metric_position, dimension, segment, variant_position
