-- stale_histories.sql (ClickHouse): days on which the rollup of a user who was assigned since is not what user_rollup_staging says
-- Grain:  day of {days}; a user without a row there has nothing that is wrong, only something to be added
select distinct day
from user_rollup
where day in {days:Array(Date32)} and (experiment_id, user_id) in (select experiment_id, user_id from dirty_assignments)
  and sipHash128(*) not in (select sipHash128(*) from user_rollup_staging)
order by day
