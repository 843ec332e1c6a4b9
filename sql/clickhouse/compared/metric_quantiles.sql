-- metric_quantiles: of each quantile metric, the number of values, the quantile and its 95 % interval, null where undefined; of the experiments {first} to {last}
-- Exact: the smallest value with at least that share of all values at or below it (0.9 × 10 is 9.000000000000002 in some sums).
insert into metric_quantiles (experiment_id, metric, variant_id, values, value, low, high)
with
    (n, share) -> toInt64(greatest(1, ceil(share * n * (1 - 1e-12)))) as rank_of,
    (sorted, negative, zeros, rank) -> multiIf(rank <= negative, sorted[rank], rank <= negative + zeros, 0., sorted[rank - zeros]) as value_at,
    -- Quantiles of events by users (their variance is clustered by user), or of all users' sums.
    quantile_rules as (select * from metric_terms where quantile is not null and experiment_id between {first:UInt64} and {last:UInt64}),
    quantile_users as (
        select u.experiment_id as experiment_id, u.metric as metric, u.variant_id as variant_id,
               if(any(m.of_events), groupArrayArray(u.measured), [arraySum(arraySort(groupArray(u.value_sum)))]) as values
        from user_rollup as u
        inner join quantile_rules as m on m.experiment_id = u.experiment_id and m.metric = u.metric
        where u.experiment_id between {first:UInt64} and {last:UInt64} and (u.experiment_id, u.metric) in (select experiment_id, metric from metric_terms where quantile is not null)
          and u.counts_from <= m.ripe_until
          and (u.experiment_id, u.user_id) not in (
              select experiment_id, user_id from crossed_users where experiment_id between {first:UInt64} and {last:UInt64}
          )
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
    )
select experiment_id, metric, variant_id, values, value,
       if(ifNull(share - half > 0 and share + half < 1, false), value_at(sorted, negative, zeros, rank_of(values, share - half)), null) as low,
       if(ifNull(share - half > 0 and share + half < 1, false), value_at(sorted, negative, zeros, rank_of(values, share + half)), null) as high
from quantile_half
