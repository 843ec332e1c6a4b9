-- ledger_gaps.sql (PostgreSQL): what the ledger cannot prove
-- Grain:  one row; parameter overdue_hours
-- unequal: windows that were compared and differ; overdue: facts older than that many hours in windows never compared
select count(*) filter (where proven_at is null) as unequal,
       coalesce(sum(abs(postgres_count - clickhouse_count)) filter (where proven_at is null), 0)::bigint as rows,
       min(window_start) filter (where proven_at is null) as first_start,
       max(window_end) as compared_until,
       exists (select from outbox_log
               where created_at >= coalesce((select max(window_end) from reconciliation_windows), '-infinity')
                 and created_at < now() - %(overdue_hours)s * interval '1 hour'
                 and aggregate_type <> 'experiment') as overdue
from reconciliation_windows
