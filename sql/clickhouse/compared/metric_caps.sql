-- metric_caps: caps by percentile, of the users of all variants together, so that a cap cannot make an effect; of the experiments {first} to {last}
-- The history has a cap of its own. The smallest value with at least that share at or below it; 0.9 × 10 is 9.000000000000002 in some sums.
insert into metric_caps (experiment_id, metric, cap, history_cap)
with
    (n, share) -> toInt64(greatest(1, ceil(share * n * (1 - 1e-12)))) as rank_of,
    (sorted, zeros, rank) -> multiIf(rank <= arrayCount(v -> v < 0, sorted), sorted[rank],
                                     rank <= arrayCount(v -> v < 0, sorted) + zeros, 0., sorted[rank - zeros]) as value_at
select experiment_id, metric, cap, history_cap
from (
    select u.experiment_id as experiment_id, u.metric as metric, any(u.cap_percentile) as share, any(u.ignore_zeros) as others_only,
           arraySort(groupArrayIf(u.y, u.y != 0 or not u.ignore_zeros)) as ys,
           arraySort(groupArrayIf(u.x, u.x != 0 or not u.ignore_zeros)) as xs,
           if(others_only, 0, greatest(0, toInt64(any(n.users)) - toInt64(count()))) as zeros,
           toNullable(value_at(ys, zeros, rank_of(length(ys) + zeros, share))) as cap,
           toNullable(value_at(xs, zeros, rank_of(length(xs) + zeros, share))) as history_cap
    from (
        select u.experiment_id as experiment_id, u.metric as metric, any(m.cap_percentile) as cap_percentile,
               any(m.ignore_zeros) as ignore_zeros,
               arraySum(arraySort(groupArray(u.value_sum))) as y, arraySum(arraySort(groupArray(u.history_sum))) as x
        from user_rollup as u
        inner join metric_terms as m on m.experiment_id = u.experiment_id and m.metric = u.metric
        where u.experiment_id between {first:UInt64} and {last:UInt64} and (u.experiment_id, u.metric) in (select experiment_id, metric from metric_terms where cap_percentile is not null)
          and u.counts_from <= m.ripe_until
          and (u.experiment_id, u.user_id) not in (
              select experiment_id, user_id from crossed_users where experiment_id between {first:UInt64} and {last:UInt64}
          )
        group by experiment_id, metric, u.user_id
    ) as u
    inner join (select experiment_id, metric, sum(users) as users from compared_counts group by experiment_id, metric) as n
        on n.experiment_id = u.experiment_id and n.metric = u.metric
    group by experiment_id, metric
)
