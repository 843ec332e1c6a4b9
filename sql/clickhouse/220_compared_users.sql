-- 220_compared_users.sql (ClickHouse): which users are compared, since when, and what each of them contributes to a metric
-- Grain:  tables, filled by compared/*.sql when results are made: crossed_users: experiment × user; and, only of the experiments whose
--         results were made last: experiment_cutoffs: experiment; metric_terms, metric_caps, metric_units: experiment × metric; assigned_counts:
--         experiment × variant × phase; compared_counts, metric_quantiles: experiment × metric × variant; metric_sums: the same ×
--         segment × portion of the users
--         views: experiment_runs: experiment; users_in_several_variants, assigned_users: experiment × user; ripe_users: experiment
--         × metric × user, only of metrics with a window; those below the same, only users with rows: counted_rows: by day, counted_users: who did it;
--         funnel_users: how far they came; summed_users: capped sums; metric_users: all kinds; of the experiments first to last,
--         and of their users one bucket
--         metric_cells: metric_sums of all portions, around the means
-- From:   variant_sightings, assignments_mv, metric_rules, user_rollup, user_journeys
-- To:     sql/read/sufficient_statistics, segment_statistics, assignment_audit
-- Units:  of each user y: the metric (1 or 0 for a proportion, retention or funnel; else the sum, at most cap), d: a ratio's denominator,
--         x, z: the same two before the assignment; whole numbers of y_unit, ... reached: steps of a funnel done in order
-- Time:   cutoff_at is the acceptance of the experiment's last fact; windows are over by then and by the end of the run
-- Rerun:  makes the tables anew, empty, replaces the views, and has results of all experiments made by the new rules
-- Apply:  again
-- Tables, because a view is analysed anew wherever a statement names it: the same as views cost 3 s on a small database.
-- Sums of floats depend on the order of adding. Here values are counted in a unit of 2^-99 of the largest that any user can have,
-- a power of two, as whole numbers: sums of up to 2^27 users are exact, and the same rows give the same bits.
drop table if exists crossed_users sync;

create table crossed_users (experiment_id UInt64, user_id String codec(ZSTD), user UInt128 materialized reinterpretAsUInt128(sipHash128(user_id)))
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
    counted        Bool,                                  -- of each user it says yes or no; else values are added up
    to_seconds     Nullable(Int64),
    started_at     Nullable(DateTime64(6, 'UTC')),
    ripe_until     DateTime64(6, 'UTC')                   -- the windows of users who count from then or before are over; far away without a window
)
engine = MergeTree
order by (experiment_id, metric);

drop table if exists assigned_counts sync;

-- place: that of the phase they were assigned in (experiment_runs). told: of them, those whose assignment has attributes; recent:
-- those assigned since recent_from. All assignments are read for it once.
create table assigned_counts (experiment_id UInt64, variant_id UInt64, place UInt32, users UInt64, told UInt64, recent UInt64)
engine = MergeTree
order by (experiment_id, variant_id, place);

drop table if exists compared_counts sync;

create table compared_counts (experiment_id UInt64, metric String, variant_id UInt64, users UInt64)
engine = MergeTree
order by (experiment_id, metric, variant_id);

drop table if exists metric_caps sync;

create table metric_caps (experiment_id UInt64, metric String, cap Nullable(Float64), history_cap Nullable(Float64))
engine = MergeTree
order by (experiment_id, metric);

drop table if exists metric_units sync;

create table metric_units (experiment_id UInt64, position UInt32, metric String, y_unit Float64, d_unit Float64, x_unit Float64, z_unit Float64)
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

drop table if exists metric_sums sync;

-- Over the compared users who have rows, in units, exact: sums and sums of products. Users are added up in portions; a portion is a row.
create table metric_sums (
    experiment_id UInt64,
    position      UInt32,
    variant_id    UInt64,
    dimension     LowCardinality(String),                 -- empty: of all users
    segment       String,
    users         UInt64,
    active        UInt64,                                 -- users who did it
    known         UInt64,                                 -- users who had done it before
    y Int256, d Int256, x Int256, z Int256,
    yy Int256, dd Int256, xx Int256, zz Int256, yd Int256, yx Int256, yz Int256, dx Int256, dz Int256, xz Int256,
    by_step       Array(UInt64)                           -- of a funnel, users who did its first step, its first two, ...
)
engine = MergeTree
order by (experiment_id, position, dimension, segment, variant_id);

-- Nearly nobody is: a hash that is there twice finds those who may be (or whose sightings are not merged yet), which takes a quarter
-- of the time of grouping all by their ids.
create or replace view users_in_several_variants as
select s.experiment_id as experiment_id, s.user_id as user_id
from variant_sightings as s
inner join (select experiment_id, variant_key from experiment_variants) as v on v.experiment_id = s.experiment_id and v.variant_key = s.variant
where s.experiment_id in {experiments:Array(UInt64)} and cityHash64(s.experiment_id, s.user_id) in (
    select cityHash64(experiment_id, user_id) as pair
    from variant_sightings
    where experiment_id in {experiments:Array(UInt64)}
    group by pair
    having count() > 1
)
group by experiment_id, user_id
having min(s.variant) != max(s.variant);

create or replace view assigned_users as
select experiment_id, user_id, variant_id, assigned_at, attributes, dimensions, created_at
from assignments_mv
where (experiment_id, user_id) not in (select experiment_id, user_id from crossed_users);

-- A user belongs to the last of the phases that had begun by the assignment, or to the first. recent_from: at most a week before the
-- cut-off, at least an hour, since the start or the making of the experiment.
create or replace view experiment_runs as
select d.experiment_id as experiment_id, c.cutoff_at as cutoff_at, d.created_at as made_at,
       ifNull(d.started_at, d.created_at) as begun_at, ifNull(d.stopped_at, c.cutoff_at) as ended_at, d.stopped_at is not null as ended,
       least(greatest(dateDiff('second', begun_at, c.cutoff_at), 3600), 604800) as recent_seconds,
       c.cutoff_at - toIntervalSecond(recent_seconds) as recent_from, p.phases as phases
from experiment_definitions as d
inner join experiment_cutoffs as c on c.experiment_id = d.experiment_id
left join (
    select experiment_id, arraySort(groupArray((began_at, phase, weights))) as phases
    from (select experiment_id, assumeNotNull(began_at) as began_at, phase, weights from experiment_phases where began_at is not null)
    group by experiment_id
) as p on p.experiment_id = d.experiment_id;

create or replace view ripe_users as
select m.experiment_id as experiment_id, m.metric as metric, a.variant_id as variant_id, a.user_id as user_id
from assigned_users as a
inner join (select * from metric_terms where to_seconds is not null and started_at is not null) as m on m.experiment_id = a.experiment_id
where a.experiment_id in (select experiment_id from metric_terms where to_seconds is not null)
  and greatest(a.assigned_at, assumeNotNull(m.started_at)) <= m.ripe_until;

-- position is the metric's in its experiment.
create or replace view counted_rows as
select u.experiment_id as experiment_id, m.position as position, u.variant_id as variant_id, u.user as user,
       u.events as events, u.history_events as history_events
from user_rollup as u
inner join metric_terms as m on m.experiment_id = u.experiment_id and m.metric = u.metric
where u.experiment_id between {first:UInt64} and {last:UInt64} and toUInt64(u.user) % {buckets:UInt64} = {bucket:UInt64}
  and (u.experiment_id, u.metric) in (select experiment_id, metric from metric_terms where counted and kind != 'funnel')
  and u.counts_from <= m.ripe_until
  and (u.experiment_id, u.user) not in (
      select experiment_id, user from crossed_users where experiment_id between {first:UInt64} and {last:UInt64}
  );

-- Rows are grouped by the user's 128 bits mixed with experiment and position: so many fit the engine's fastest way, four fifths of
-- the time of all three.
create or replace view counted_users as
select any(u.experiment_id) as experiment_id, any(u.position) as position, any(u.variant_id) as variant_id, any(u.user) as user,
       sum(u.events) as all_events, sum(u.history_events) as all_history
from counted_rows(first = {first:UInt64}, last = {last:UInt64}, buckets = {buckets:UInt64}, bucket = {bucket:UInt64}) as u
group by bitXor(u.user, bitShiftLeft(toUInt128(u.experiment_id), 32) + u.position);

create or replace view funnel_users as
select any(u.experiment_id) as experiment_id, any(m.position) as position, any(u.variant_id) as variant_id, any(u.user) as user,
       any(m.steps) as steps,
       sum(u.events) as all_events, sum(u.history_events) as all_history,
       arrayFold((done, day) -> if(done < length(day.2), day.2[done + 1], done),
                 arraySort(groupArray((u.day, u.advance))), toUInt8(0)) as reached,
       arrayFold((done, day) -> if(done < length(day.2), day.2[done + 1], done),
                 arraySort(groupArray((u.day, u.history_advance))), toUInt8(0)) as reached_before
from user_rollup as u
inner join metric_terms as m on m.experiment_id = u.experiment_id and m.metric = u.metric
where u.experiment_id between {first:UInt64} and {last:UInt64} and toUInt64(u.user) % {buckets:UInt64} = {bucket:UInt64}
  and (u.experiment_id, u.metric) in (select experiment_id, metric from metric_terms where kind = 'funnel')
  and u.counts_from <= m.ripe_until
  and (u.experiment_id, u.user) not in (
      select experiment_id, user from crossed_users where experiment_id between {first:UInt64} and {last:UInt64}
  )
group by bitXor(u.user, bitShiftLeft(toUInt128(u.experiment_id), 32) + m.position);

-- 2^101 units are more than any user has: no cap. A row beyond 2^102 units is far above a cap (metric_units), whatever else the user
-- has. In two halves, since floats beyond 64 bits are not converted exactly; what is no number would end the statement, and has an
-- infinite unit, which makes the figures null.
create or replace view summed_users as
with
    (amount, unit) -> if(isNaN(amount / unit), 0., least(greatest(amount / unit, -exp2(102)), exp2(102))) * exp2(-50) as upper,
    (amount, unit) -> toInt128(toInt64(floor(upper(amount, unit)))) * 1125899906842624
                      + toInt64((upper(amount, unit) - floor(upper(amount, unit))) * 1125899906842624) as in_units
select s.experiment_id as experiment_id, s.position as position, s.variant_id as variant_id, s.user as user,
       s.all_events as all_events, s.all_history as all_history,
       least(s.y_sum, m.y_most) as y, s.d_sum as d, least(s.x_sum, m.x_most) as x, s.z_sum as z
from (
    select any(u.experiment_id) as experiment_id, any(m.position) as position, any(u.variant_id) as variant_id, any(u.user) as user,
           sum(u.events) as all_events, sum(u.history_events) as all_history,
           sum(in_units(u.value_sum, m.y_unit)) as y_sum, sum(in_units(u.denominator_sum, m.d_unit)) as d_sum,
           sum(in_units(u.history_sum, m.x_unit)) as x_sum, sum(in_units(u.history_denominator, m.z_unit)) as z_sum
    from user_rollup as u
    inner join (
        select t.experiment_id as experiment_id, t.position as position, t.metric as metric, t.ripe_until as ripe_until,
               n.y_unit as y_unit, n.d_unit as d_unit, n.x_unit as x_unit, n.z_unit as z_unit
        from metric_terms as t
        inner join metric_units as n on n.experiment_id = t.experiment_id and n.position = t.position
    ) as m on m.experiment_id = u.experiment_id and m.metric = u.metric
    where u.experiment_id between {first:UInt64} and {last:UInt64} and toUInt64(u.user) % {buckets:UInt64} = {bucket:UInt64}
      and (u.experiment_id, u.metric) in (select experiment_id, metric from metric_terms where not counted and (kind = 'ratio') = {ratios:UInt8})
      and u.counts_from <= m.ripe_until
      and (u.experiment_id, u.user) not in (
          select experiment_id, user from crossed_users where experiment_id between {first:UInt64} and {last:UInt64}
      )
    group by bitXor(u.user, bitShiftLeft(toUInt128(u.experiment_id), 32) + m.position)
) as s
inner join (
    select t.experiment_id as experiment_id, t.position as position,
           in_units(least(least(ifNull(t.cap, inf), ifNull(c.cap, inf)) / n.y_unit, exp2(101)), 1.) as y_most,
           in_units(least(least(ifNull(t.cap, inf), ifNull(c.history_cap, inf)) / n.x_unit, exp2(101)), 1.) as x_most
    from metric_terms as t
    inner join metric_units as n on n.experiment_id = t.experiment_id and n.position = t.position
    left join metric_caps as c on c.experiment_id = t.experiment_id and c.metric = t.metric
) as m on m.experiment_id = s.experiment_id and m.position = s.position;

create or replace view metric_users as
select experiment_id, position, variant_id, user, all_events, all_history, y, d
from summed_users(first = {first:UInt64}, last = {last:UInt64}, buckets = {buckets:UInt64}, bucket = {bucket:UInt64}, ratios = 0)
union all
select experiment_id, position, variant_id, user, all_events, all_history, y, d
from summed_users(first = {first:UInt64}, last = {last:UInt64}, buckets = {buckets:UInt64}, bucket = {bucket:UInt64}, ratios = 1)
union all
select experiment_id, position, variant_id, user, all_events, all_history, toInt128(all_events > 0) as y, toInt128(0) as d
from counted_users(first = {first:UInt64}, last = {last:UInt64}, buckets = {buckets:UInt64}, bucket = {bucket:UInt64})
union all
select experiment_id, position, variant_id, user, all_events, all_history, toInt128(reached = steps) as y, toInt128(0) as d
from funnel_users(first = {first:UInt64}, last = {last:UInt64}, buckets = {buckets:UInt64}, bucket = {bucket:UInt64});

drop table if exists metric_cells sync;

-- Exact in the metric's units, divided by n once. In units of 2^-99 the square of n would not fit: whole means are taken off first,
-- which leaves out less than one product of units a user. Where a unit is a whole user, who did it or not, nothing may be left out.
create or replace view metric_cells as
with
    (counted, ab, a, b, n) -> if(counted, toFloat64(ab * n - a * b) / toFloat64(n),
                                 toFloat64(ab - intDiv(a, n) * b - intDiv(b, n) * a + n * intDiv(a, n) * intDiv(b, n))) as around
select c.experiment_id as experiment_id, c.position as position, c.variant_id as variant_id, c.dimension as dimension, c.segment as segment,
       toFloat64(c.users) as n, c.active as active, c.known as known, c.by_step as by_step,
       toFloat64(c.y) * k.y_unit as y_sum, toFloat64(c.d) * k.d_unit as d_sum, toFloat64(c.x) * k.x_unit as x_sum, toFloat64(c.z) * k.z_unit as z_sum,
       y_sum / n as my, d_sum / n as md, x_sum / n as mx, z_sum / n as mz,
       around(t.counted, c.yy, c.y, c.y, c.users) * k.y_unit * k.y_unit as yy, around(t.counted, c.dd, c.d, c.d, c.users) * k.d_unit * k.d_unit as dd,
       around(t.counted, c.xx, c.x, c.x, c.users) * k.x_unit * k.x_unit as xx, around(t.counted, c.zz, c.z, c.z, c.users) * k.z_unit * k.z_unit as zz,
       around(t.counted, c.yd, c.y, c.d, c.users) * k.y_unit * k.d_unit as yd, around(t.counted, c.yx, c.y, c.x, c.users) * k.y_unit * k.x_unit as yx,
       around(t.counted, c.yz, c.y, c.z, c.users) * k.y_unit * k.z_unit as yz, around(t.counted, c.dx, c.d, c.x, c.users) * k.d_unit * k.x_unit as dx,
       around(t.counted, c.dz, c.d, c.z, c.users) * k.d_unit * k.z_unit as dz, around(t.counted, c.xz, c.x, c.z, c.users) * k.x_unit * k.z_unit as xz
from (
    select experiment_id, position, variant_id, dimension, segment, toInt256(sum(s.users)) as users, sum(s.active) as active, sum(s.known) as known,
           sum(s.y) as y, sum(s.d) as d, sum(s.x) as x, sum(s.z) as z,
           sum(s.yy) as yy, sum(s.dd) as dd, sum(s.xx) as xx, sum(s.zz) as zz, sum(s.yd) as yd,
           sum(s.yx) as yx, sum(s.yz) as yz, sum(s.dx) as dx, sum(s.dz) as dz, sum(s.xz) as xz,
           sumForEach(s.by_step) as by_step
    from metric_sums as s
    group by experiment_id, position, variant_id, dimension, segment
) as c
inner join metric_terms as t on t.experiment_id = c.experiment_id and t.position = c.position
inner join metric_units as k on k.experiment_id = c.experiment_id and k.position = c.position;

insert into changed_experiments (experiment_id) select experiment_id from experiment_definitions;
