-- closed_until.sql (PostgreSQL): the moment before which no fact can appear any more
-- Every writer takes the intake lock (begin_intake in sql/postgres/060) before it reads the clock for created_at and holds it to its
-- end. So a fact that is not visible yet is younger than the start of the oldest transaction that holds that lock now.
-- statement_timestamp: the clock before the locks were looked at.
select least(statement_timestamp(), min(a.xact_start)) as closed_until
from pg_locks l
join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.database = (select oid from pg_database where datname = current_database())
  and l.classid::bigint = (hashtext('neonblue intake day')::bigint & 4294967295)
