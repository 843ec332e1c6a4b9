-- ids_processed.sql (ClickHouse): every fact that can be queried; the counterpart of ids_facts
-- Grain:  event, assignment; parameters start, until (created_at)
select 'event' as aggregate_type, created_at, toString(id) as id
from events_processed
where created_at >= {start:DateTime64(6, 'UTC')} and created_at < {until:DateTime64(6, 'UTC')}
union all
select 'assignment' as aggregate_type, created_at, concat(toString(experiment_id), '/', user_id) as id
from assignments_mv
where created_at >= {start:DateTime64(6, 'UTC')} and created_at < {until:DateTime64(6, 'UTC')}
