-- histories: what user_rollup lacks of users who were assigned since, on the days {days}; after a build that was killed some may be there
insert into user_rollup
select *
from user_rollup_staging
where day in {days:Array(Date32)}
  and sipHash128(*) not in (
      select sipHash128(*)
      from user_rollup
      where day in {days:Array(Date32)} and (experiment_id, user_id) in (select experiment_id, user_id from dirty_assignments)
  )
