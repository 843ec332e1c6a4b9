-- 220_compared_users.sql (ClickHouse): which users are compared, since when, and what each of them contributes to a metric
-- Grain:  crossed_users, assigned_users: experiment × user; experiment_cutoffs: experiment; metric_terms, metric_caps: experiment × metric;
--         assigned_counts: experiment × variant; compared_counts: experiment × metric × variant;
--         ripe_users: experiment × metric × user, only of metrics with a window; those below the same, only users with rows:
--         counted_users: who did it, or a funnel's steps; summed_users: capped sums; metric_users: all kinds
-- From:   variant_sightings, assignments_mv, metric_rules, user_rollup, user_journeys
-- To:     sql/read/sufficient_statistics, segment_statistics, assignment_audit
-- Units:  of each user y: the metric (1 or 0 for a proportion, retention or funnel; else the sum, at most cap), d: a ratio's denominator,
--         x, z: the same two before the assignment. reached: steps of a funnel done in order
-- Time:   cutoff_at is the acceptance of the experiment's last fact; windows are over by then and by the end of the run
-- Rerun:  replaces the views
-- Values are added in sorted order: the same rows give the same bits.
-- Scalar subqueries are computed once a statement, however often it reads the view; a comparison with 0 spares what nobody asks for.
create or replace view crossed_users as
with (
    select groupArray((experiment_id, user_id))
    from (
        select s.experiment_id as experiment_id, s.user_id as user_id
        from variant_sightings as s
        inner join (select experiment_id, variant_key from experiment_variants) as v
            on v.experiment_id = s.experiment_id and v.variant_key = s.variant
        group by experiment_id, user_id
        having min(s.variant) != max(s.variant)
    )
) as list
select row.1 as experiment_id, row.2 as user_id from (select arrayJoin(list) as row);

create or replace view assigned_users as
select experiment_id, user_id, variant_id, assigned_at, attributes, created_at
from assignments_mv
where (experiment_id, user_id) not in (select experiment_id, user_id from crossed_users);

create or replace view experiment_cutoffs as
with (
    select groupArray((experiment_id, at))
    from (
        select experiment_id, max(at) as at
        from (
            select experiment_id, max(last_accepted_at) as at from user_journeys group by experiment_id
            union all
            select experiment_id, max(created_at) as at from assignments_mv group by experiment_id
            union all
            select experiment_id, updated_at as at from experiment_definitions
        )
        group by experiment_id
    )
) as list
select row.1 as experiment_id, row.2 as cutoff_at from (select arrayJoin(list) as row);

create or replace view metric_terms as
select r.experiment_id as experiment_id, r.position as position, r.metric as metric, r.kind as kind, r.event_type as event_type,
       r.direction as direction, r.role as role, r.definition as definition, r.cap as cap, r.cap_percentile as cap_percentile, r.ignore_zeros as ignore_zeros,
       r.quantile as quantile, r.of_events as of_events, r.steps as steps, r.to_seconds as to_seconds, d.started_at as started_at,
       least(c.cutoff_at, ifNull(d.stopped_at, c.cutoff_at)) as until
from (select * from metric_rules where part = 0) as r
inner join experiment_definitions as d on d.experiment_id = r.experiment_id
inner join experiment_cutoffs as c on c.experiment_id = r.experiment_id;

create or replace view ripe_users as
select m.experiment_id as experiment_id, m.metric as metric, a.variant_id as variant_id, a.user_id as user_id
from assigned_users as a
inner join (select * from metric_terms where to_seconds is not null and started_at is not null) as m on m.experiment_id = a.experiment_id
where addSeconds(greatest(a.assigned_at, assumeNotNull(m.started_at)), assumeNotNull(m.to_seconds)) <= m.until;

create or replace view assigned_counts as
with (
    select groupArray((experiment_id, variant_id, users))
    from (select experiment_id, variant_id, count() as users from assigned_users group by experiment_id, variant_id)
) as list
select row.1 as experiment_id, row.2 as variant_id, row.3 as users from (select arrayJoin(list) as row);

create or replace view compared_counts as
with (
    select groupArray((experiment_id, metric, variant_id, users))
    from (
        select m.experiment_id as experiment_id, m.metric as metric, a.variant_id as variant_id, a.users as users
        from assigned_counts as a
        inner join (select * from metric_terms where to_seconds is null) as m on m.experiment_id = a.experiment_id
        union all
        select experiment_id, metric, variant_id, count() as users from ripe_users group by experiment_id, metric, variant_id
    )
) as list
select row.1 as experiment_id, row.2 as metric, row.3 as variant_id, row.4 as users from (select arrayJoin(list) as row);

-- A proportion is a funnel of one step.
create or replace view counted_users as
select u.experiment_id as experiment_id, u.metric as metric, u.variant_id as variant_id, u.user_id as user_id, toUInt8(1) as steps,
       sum(u.events) as all_events, sum(u.history_events) as all_history,
       toUInt8(all_events > 0) as reached, toUInt8(all_history > 0) as reached_before
from user_rollup as u
inner join metric_terms as m on m.experiment_id = u.experiment_id and m.metric = u.metric
where (u.experiment_id, u.metric) in (select experiment_id, metric from metric_rules where kind in ('proportion', 'retention'))
  and (m.to_seconds is null or addSeconds(u.counts_from, assumeNotNull(m.to_seconds)) <= m.until)
  and (u.experiment_id, u.user_id) not in (select experiment_id, user_id from crossed_users)
group by experiment_id, metric, variant_id, user_id
union all
select u.experiment_id as experiment_id, u.metric as metric, u.variant_id as variant_id, u.user_id as user_id, any(m.steps) as steps,
       sum(u.events) as all_events, sum(u.history_events) as all_history,
       arrayFold((done, day) -> if(done < length(day.2), day.2[done + 1], done),
                 arraySort(groupArray((u.day, u.advance))), toUInt8(0)) as reached,
       arrayFold((done, day) -> if(done < length(day.2), day.2[done + 1], done),
                 arraySort(groupArray((u.day, u.history_advance))), toUInt8(0)) as reached_before
from user_rollup as u
inner join metric_terms as m on m.experiment_id = u.experiment_id and m.metric = u.metric
where (select count() from metric_rules where kind = 'funnel') > 0
  and (u.experiment_id, u.metric) in (select experiment_id, metric from metric_rules where kind = 'funnel')
  and (m.to_seconds is null or addSeconds(u.counts_from, assumeNotNull(m.to_seconds)) <= m.until)
  and (u.experiment_id, u.user_id) not in (select experiment_id, user_id from crossed_users)
group by experiment_id, metric, variant_id, user_id;

-- Caps by percentile, of the users of all variants together, so that a cap cannot make an effect; the history has a cap of its own.
-- The smallest value with at least that share at or below it; 0.9 × 10 is 9.000000000000002 in some sums.
create or replace view metric_caps as
with
    (n, share) -> toInt64(greatest(1, ceil(share * n * (1 - 1e-12)))) as rank_of,
    (sorted, zeros, rank) -> multiIf(rank <= arrayCount(v -> v < 0, sorted), sorted[rank],
                                     rank <= arrayCount(v -> v < 0, sorted) + zeros, 0., sorted[rank - zeros]) as value_at,
    (
        select groupArray((experiment_id, metric, cap, history_cap))
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
                where (select count() from metric_rules where cap_percentile is not null) > 0
                  and (u.experiment_id, u.metric) in (select experiment_id, metric from metric_rules where cap_percentile is not null)
                  and (m.to_seconds is null or addSeconds(u.counts_from, assumeNotNull(m.to_seconds)) <= m.until)
                  and (u.experiment_id, u.user_id) not in (select experiment_id, user_id from crossed_users)
                group by experiment_id, metric, u.user_id
            ) as u
            inner join (select experiment_id, metric, sum(users) as users from compared_counts group by experiment_id, metric) as n
                on n.experiment_id = u.experiment_id and n.metric = u.metric
            group by experiment_id, metric
        )
    ) as list
select row.1 as experiment_id, row.2 as metric, row.3 as cap, row.4 as history_cap from (select arrayJoin(list) as row);

create or replace view summed_users as
select u.experiment_id as experiment_id, u.metric as metric, u.variant_id as variant_id, u.user_id as user_id,
       sum(u.events) as all_events, sum(u.history_events) as all_history,
       least(arraySum(arraySort(groupArray(u.value_sum))), any(m.most)) as y, arraySum(arraySort(groupArray(u.denominator_sum))) as d,
       least(arraySum(arraySort(groupArray(u.history_sum))), any(m.history_most)) as x,
       arraySum(arraySort(groupArray(u.history_denominator))) as z
from user_rollup as u
inner join (
    select t.experiment_id as experiment_id, t.metric as metric, t.to_seconds as to_seconds, t.until as until,
           least(ifNull(t.cap, inf), ifNull(c.cap, inf)) as most, least(ifNull(t.cap, inf), ifNull(c.history_cap, inf)) as history_most
    from metric_terms as t
    left join metric_caps as c on c.experiment_id = t.experiment_id and c.metric = t.metric
) as m on m.experiment_id = u.experiment_id and m.metric = u.metric
where (u.experiment_id, u.metric) in (select experiment_id, metric from metric_rules where kind not in ('proportion', 'retention', 'funnel'))
  and (m.to_seconds is null or addSeconds(u.counts_from, assumeNotNull(m.to_seconds)) <= m.until)
  and (u.experiment_id, u.user_id) not in (select experiment_id, user_id from crossed_users)
group by experiment_id, metric, variant_id, user_id;

create or replace view metric_users as
select experiment_id, metric, variant_id, user_id, all_events, all_history, y, d, x, z
from summed_users
union all
select experiment_id, metric, variant_id, user_id, all_events, all_history,
       toFloat64(reached = steps) as y, 0. as d, toFloat64(reached_before = steps) as x, 0. as z
from counted_users;
