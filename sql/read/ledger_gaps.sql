-- ledger_gaps.sql (PostgreSQL): what the ledger cannot prove
-- Grain:  one row; parameter overdue_hours
-- unequal: windows that were compared and differ; overdue: facts older than that many hours in windows never compared
-- The outbox is asked only where windows of that age have not been compared, and not before the schema itself is of that age: rows
-- of the last minutes are in no range of the index yet, so that each look would read all of them.
select unequal, rows, first_start, compared_until,
       case when greatest(compared_until, made_at) >= overdue_before then false
            else exists (select from outbox_log
                         where created_at >= coalesce(compared_until, '-infinity') and created_at < overdue_before
                           and aggregate_type <> 'experiment')
       end as overdue
from (
    select count(*) filter (where proven_at is null) as unequal,
           coalesce(sum(abs(postgres_count - clickhouse_count)) filter (where proven_at is null), 0)::bigint as rows,
           min(window_start) filter (where proven_at is null) as first_start,
           max(window_end) as compared_until,
           (select min(applied_at) from applied_files) as made_at,
           now() - %(overdue_hours)s * interval '1 hour' as overdue_before
    from reconciliation_windows
) compared
