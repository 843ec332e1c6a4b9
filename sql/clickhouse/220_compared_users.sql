-- 220_compared_users.sql (ClickHouse): which users are compared, since when, and what each of them contributes to a metric
-- Grain:  tables, filled by compared/*.sql when results are made: crossed_users: experiment × user; experiment_cutoffs: experiment;
--         metric_terms, metric_caps: experiment × metric; assigned_counts: experiment × variant; compared_counts, metric_cells,
--         metric_quantiles: experiment × metric × variant
--         views: users_in_several_variants, assigned_users: experiment × user; ripe_users: experiment × metric × user, only of
--         metrics with a window; those below the same, only users with rows: counted_users: who did it, or a funnel's steps;
--         summed_users: capped sums; metric_users: all kinds
-- From:   variant_sightings, assignments_mv, metric_rules, user_rollup, user_journeys
-- To:     sql/read/sufficient_statistics, segment_statistics, assignment_audit
-- Units:  of each user y: the metric (1 or 0 for a proportion, retention or funnel; else the sum, at most cap), d: a ratio's denominator,
--         x, z: the same two before the assignment. reached: steps of a funnel done in order
-- Time:   cutoff_at is the acceptance of the experiment's last fact; windows are over by then and by the end of the run
-- Rerun:  makes the tables anew, empty, and replaces the views
-- Apply:  again
-- Tables, because a view is analysed anew wherever a statement names it: the same as views cost 3 s on a small database.
-- Values are added in sorted order: the same rows give the same bits.
drop table if exists crossed_users sync;

create table crossed_users (experiment_id UInt64, user_id String codec(ZSTD))
engine = MergeTree
order by (experiment_id, user_id);

drop table if exists experiment_cutoffs sync;

create table experiment_cutoffs (experiment_id UInt64, cutoff_at DateTime64(6, 'UTC'))
engine = MergeTree
order by experiment_id;

drop table if exists metric_terms sync;

create table metric_terms (
    experiment_id  UInt64,
    position       UInt32,
    metric         String,
    kind           String,
    event_type     String,
    direction      String,
    role           String,
    definition     String,
    cap            Nullable(Float64),
    cap_percentile Nullable(Float64),
    ignore_zeros   Bool,
    quantile       Nullable(Float64),
    of_events      Bool,
    steps          UInt8,
    to_seconds     Nullable(Int64),
    started_at     Nullable(DateTime64(6, 'UTC')),
    until          DateTime64(6, 'UTC')
)
engine = MergeTree
order by (experiment_id, metric);

drop table if exists assigned_counts sync;

create table assigned_counts (experiment_id UInt64, variant_id UInt64, users UInt64)
engine = MergeTree
order by (experiment_id, variant_id);

drop table if exists compared_counts sync;

create table compared_counts (experiment_id UInt64, metric String, variant_id UInt64, users UInt64)
engine = MergeTree
order by (experiment_id, metric, variant_id);

drop table if exists metric_caps sync;

create table metric_caps (experiment_id UInt64, metric String, cap Nullable(Float64), history_cap Nullable(Float64))
engine = MergeTree
order by (experiment_id, metric);

drop table if exists metric_quantiles sync;

create table metric_quantiles (
    experiment_id UInt64,
    metric        String,
    variant_id    UInt64,
    values        Int64,
    value         Nullable(Float64),
    low           Nullable(Float64),
    high          Nullable(Float64)
)
engine = MergeTree
order by (experiment_id, metric, variant_id);

drop table if exists metric_cells sync;

-- Over n users with rows: sums, means (m*), and sums of products around the means.
create table metric_cells (
    experiment_id UInt64,
    metric        String,
    variant_id    UInt64,
    n             Float64,
    active        UInt64,                                 -- users who did it
    known         UInt64,                                 -- users who had done it before
    y_sum Float64, d_sum Float64, x_sum Float64, z_sum Float64,
    my Float64, md Float64, mx Float64, mz Float64,
    yy Float64, dd Float64, xx Float64, zz Float64, yd Float64, yx Float64, yz Float64, dx Float64, dz Float64, xz Float64,
    by_step       Array(UInt64)                           -- of a funnel, users who did its first step, its first two, ...
)
engine = MergeTree
order by (experiment_id, metric, variant_id);

create or replace view users_in_several_variants as
select s.experiment_id as experiment_id, s.user_id as user_id
from variant_sightings as s
inner join (select experiment_id, variant_key from experiment_variants) as v on v.experiment_id = s.experiment_id and v.variant_key = s.variant
group by experiment_id, user_id
having min(s.variant) != max(s.variant);

create or replace view assigned_users as
select experiment_id, user_id, variant_id, assigned_at, attributes, created_at
from assignments_mv
where (experiment_id, user_id) not in (select experiment_id, user_id from crossed_users);

create or replace view ripe_users as
select m.experiment_id as experiment_id, m.metric as metric, a.variant_id as variant_id, a.user_id as user_id
from assigned_users as a
inner join (select * from metric_terms where to_seconds is not null and started_at is not null) as m on m.experiment_id = a.experiment_id
where addSeconds(greatest(a.assigned_at, assumeNotNull(m.started_at)), assumeNotNull(m.to_seconds)) <= m.until;

-- A proportion is a funnel of one step.
create or replace view counted_users as
select u.experiment_id as experiment_id, u.metric as metric, u.variant_id as variant_id, u.user_id as user_id, toUInt8(1) as steps,
       sum(u.events) as all_events, sum(u.history_events) as all_history,
       toUInt8(all_events > 0) as reached, toUInt8(all_history > 0) as reached_before
from user_rollup as u
inner join metric_terms as m on m.experiment_id = u.experiment_id and m.metric = u.metric
where (u.experiment_id, u.metric) in (select experiment_id, metric from metric_terms where kind in ('proportion', 'retention'))
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
where (u.experiment_id, u.metric) in (select experiment_id, metric from metric_terms where kind = 'funnel')
  and (m.to_seconds is null or addSeconds(u.counts_from, assumeNotNull(m.to_seconds)) <= m.until)
  and (u.experiment_id, u.user_id) not in (select experiment_id, user_id from crossed_users)
group by experiment_id, metric, variant_id, user_id;

create or replace view summed_users as
select u.experiment_id as experiment_id, u.metric as metric, u.variant_id as variant_id, u.user_id as user_id,
       sum(u.events) as all_events, sum(u.history_events) as all_history,
       arraySort(groupArray((u.day, u.value_sum, u.denominator_sum, u.history_sum, u.history_denominator))) as days,
       least(arraySum(t -> t.2, days), any(m.most)) as y, arraySum(t -> t.3, days) as d,
       least(arraySum(t -> t.4, days), any(m.history_most)) as x, arraySum(t -> t.5, days) as z
from user_rollup as u
inner join (
    select t.experiment_id as experiment_id, t.metric as metric, t.to_seconds as to_seconds, t.until as until,
           least(ifNull(t.cap, inf), ifNull(c.cap, inf)) as most, least(ifNull(t.cap, inf), ifNull(c.history_cap, inf)) as history_most
    from metric_terms as t
    left join metric_caps as c on c.experiment_id = t.experiment_id and c.metric = t.metric
) as m on m.experiment_id = u.experiment_id and m.metric = u.metric
where (u.experiment_id, u.metric) in (select experiment_id, metric from metric_terms where kind not in ('proportion', 'retention', 'funnel'))
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
