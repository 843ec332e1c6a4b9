-- ids_outbox.sql (PostgreSQL): every row that has to reach ClickHouse
-- Grain:  outbox row; parameters start, until (created_at)
select aggregate_type, created_at, id::text as id
from outbox_log
where created_at >= %(start)s and created_at < %(until)s
