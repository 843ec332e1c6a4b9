-- assignment_audit.sql (ClickHouse): what else speaks for or against the data of each experiment
-- Grain:  experiment
-- Units:  users, in numbers: assigned, crossed (seen in several variants, not compared), recent (assigned in the last recent_days);
--         seen, unexposed: per variant, users with events that count, and those of them without an exposure
--         events of its compared users during the run: counted, ahead, early, late; late ones happened after the experiment was
--         made, so that an import of old events is not late
-- Time:   recent_days: at most 7, since the start or the making of the experiment, until the cut-off
with
    assigned as (select experiment_id, sum(users) as users, sum(recent) as recent from assigned_counts group by experiment_id),
    left_out as (select experiment_id, user_id from crossed_users where experiment_id in (select experiment_id from experiment_cutoffs)),
    crossed as (
        select experiment_id, count() as users
        from assignments_mv
        where (experiment_id, user_id) in (select experiment_id, user_id from left_out)
        group by experiment_id
    ),
    -- The summary knows how many of all users; who was seen in several variants is taken off.
    exposed as (
        select s.experiment_id as experiment_id,
               mapFromArrays(groupArray(toString(s.variant_key)), groupArray(toUInt64(s.active_users - c.active))) as seen,
               mapFromArrays(groupArray(toString(s.variant_key)),
                             groupArray(toUInt64(s.active_users - c.active - s.exposed_users + c.exposed))) as unexposed
        from experiment_summary as s
        left join (
            select experiment_id, variant_id, uniqExact(user_id) as active, uniqExactIf(user_id, exposures > 0) as exposed
            from user_journeys
            where (experiment_id, user_id) in (select experiment_id, user_id from left_out)
            group by experiment_id, variant_id
        ) as c on c.experiment_id = s.experiment_id and c.variant_id = s.variant_id
        where s.active_users > c.active
        group by experiment_id
    ),
    -- Both tables lie in the order of their users: read side by side they need no memory, whatever the number of users.
    of_days as (
        select a.experiment_id as experiment_id, u.day as day, sum(u.events) as events, sum(u.ahead_events) as ahead, sum(u.late_events) as late,
               sum(countEqual(u.early_of, a.experiment_id)) as early
        from assigned_users as a
        inner join user_days as u on u.user_id = a.user_id
        where a.experiment_id in (select experiment_id from experiment_cutoffs)
        group by experiment_id, day
        settings join_algorithm = 'full_sorting_merge'
    ),
    clocks as (
        select r.experiment_id as experiment_id, sum(d.events) as events, sum(d.ahead) as ahead,
               sumIf(d.late, d.day >= toDate32(r.made_at)) as late, sum(d.early) as early
        from of_days as d
        inner join experiment_runs as r on r.experiment_id = d.experiment_id
        where d.day >= toDate32(r.begun_at) and d.day <= toDate32(r.ended_at + toIntervalDay(1))
        group by experiment_id
    )
select r.experiment_id as experiment_id, r.cutoff_at as cutoff_at, r.ended as ended, r.recent_seconds / 86400 as recent_days,
       a.users as assigned, a.recent as recent, x.users as crossed, e.seen as seen, e.unexposed as unexposed,
       c.events as counted_events, c.ahead as ahead_events, c.late as late_events, c.early as early_events
from experiment_runs as r
left join assigned as a on a.experiment_id = r.experiment_id
left join crossed as x on x.experiment_id = r.experiment_id
left join exposed as e on e.experiment_id = r.experiment_id
left join clocks as c on c.experiment_id = r.experiment_id
order by experiment_id
