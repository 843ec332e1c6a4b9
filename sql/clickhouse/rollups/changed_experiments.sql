-- changed_experiments: those whose summary or results may differ from what is written, now that {days} are built; or {all}
-- What ended long ago stands as it is, however much there is of it. More than these would do no harm, one less would.
insert into changed_experiments (experiment_id)
select d.experiment_id
from experiment_definitions as d
left join (select * from rolled_definitions final) as r on r.experiment_id = d.experiment_id
where {all:Bool}
   or d.stopped_at is null
   or d.revision != r.revision
   -- Its users' events of these days count, or their clocks do (sql/read/assignment_audit).
   or arrayExists(day -> day between toDate32(ifNull(d.started_at, d.created_at)) and toDate32(assumeNotNull(d.stopped_at) + toIntervalDay(1)),
                  {days:Array(Date32)})
   -- History of users who were assigned after its end.
   or d.experiment_id in (select distinct experiment_id from user_rollup where day in {days:Array(Date32)})
   -- Users seen in another variant, whenever that was.
   or d.experiment_id in (
       select assumeNotNull(experiment_id) from events_rows
       where toDate32(timestamp) in {days:Array(Date32)} and event_type = 'exposure' and experiment_id is not null
   )
   -- 0: a mark of the version before, which told no experiment.
   or d.experiment_id in (select experiment_id from dirty_assignments) or 0 in (select experiment_id from dirty_assignments)
   or d.experiment_id not in (select experiment_id from experiment_summary)
   or d.experiment_id not in (select experiment_id from experiment_quality_rows)
