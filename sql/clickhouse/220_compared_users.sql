-- 220_compared_users.sql (ClickHouse): which users are compared, since when, and what each of them contributes to a metric
-- Grain:  crossed_users, assigned_users: experiment × user; experiment_cutoffs: experiment; metric_terms: experiment × metric;
--         ripe_users, metric_users: experiment × metric × user (ripe_users only of metrics with a window; metric_users only with rows)
-- From:   variant_sightings, assignments_mv, metric_rules, user_rollup, user_journeys
-- To:     sql/read/sufficient_statistics, segment_statistics, assignment_audit
-- Units:  of each user y: the metric (1 or 0 for a proportion or retention; else the sum, at most cap), d: a ratio's denominator,
--         x, z: the same two before the assignment
-- Time:   cutoff_at is the acceptance of the experiment's last fact; windows are over by then and by the end of the run
-- Rerun:  replaces the views
-- Values are added in sorted order: the same rows give the same bits.
create or replace view crossed_users as
select s.experiment_id as experiment_id, s.user_id as user_id
from variant_sightings as s
inner join (select experiment_id, variant_key from experiment_variants) as v on v.experiment_id = s.experiment_id and v.variant_key = s.variant
group by experiment_id, user_id
having min(s.variant) != max(s.variant);

create or replace view assigned_users as
select experiment_id, user_id, variant_id, assigned_at, attributes, created_at
from assignments_mv
where (experiment_id, user_id) not in (select experiment_id, user_id from crossed_users);

create or replace view experiment_cutoffs as
select experiment_id, max(at) as cutoff_at
from (
    select experiment_id, max(last_accepted_at) as at from user_journeys group by experiment_id
    union all
    select experiment_id, max(created_at) as at from assignments_mv group by experiment_id
    union all
    select experiment_id, updated_at as at from experiment_definitions
)
group by experiment_id;

create or replace view metric_terms as
select r.experiment_id as experiment_id, r.position as position, r.metric as metric, r.kind as kind, r.direction as direction,
       r.role as role, r.definition as definition, r.cap as cap, r.to_seconds as to_seconds, d.started_at as started_at,
       least(c.cutoff_at, ifNull(d.stopped_at, c.cutoff_at)) as until
from (select * from metric_rules where part = 0) as r
inner join experiment_definitions as d on d.experiment_id = r.experiment_id
inner join experiment_cutoffs as c on c.experiment_id = r.experiment_id;

create or replace view ripe_users as
select m.experiment_id as experiment_id, m.metric as metric, a.variant_id as variant_id, a.user_id as user_id
from assigned_users as a
inner join (select * from metric_terms where to_seconds is not null and started_at is not null) as m on m.experiment_id = a.experiment_id
where addSeconds(greatest(a.assigned_at, assumeNotNull(m.started_at)), assumeNotNull(m.to_seconds)) <= m.until;

create or replace view metric_users as
select u.experiment_id as experiment_id, u.metric as metric, u.variant_id as variant_id, u.user_id as user_id,
       any(m.kind in ('proportion', 'retention')) as yes_or_no, any(ifNull(m.cap, inf)) as most,
       sum(u.events) as all_events, sum(u.history_events) as all_history,
       if(yes_or_no, toFloat64(all_events > 0), least(arraySum(arraySort(groupArray(u.value_sum))), most)) as y,
       arraySum(arraySort(groupArray(u.denominator_sum))) as d,
       if(yes_or_no, toFloat64(all_history > 0), least(arraySum(arraySort(groupArray(u.history_sum))), most)) as x,
       arraySum(arraySort(groupArray(u.history_denominator))) as z
from user_rollup as u
inner join metric_terms as m on m.experiment_id = u.experiment_id and m.metric = u.metric
where (m.to_seconds is null or addSeconds(u.counts_from, assumeNotNull(m.to_seconds)) <= m.until)
  and (u.experiment_id, u.user_id) not in (select experiment_id, user_id from crossed_users)
group by experiment_id, metric, variant_id, user_id;
