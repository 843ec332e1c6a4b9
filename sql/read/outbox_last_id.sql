-- outbox_last_id.sql (PostgreSQL): the last id that the outbox gave out
-- Grain:  one row. The sequence is asked: the log has no index on ids. A transaction that was rolled back has used its ids.
select coalesce(pg_sequence_last_value(pg_get_serial_sequence('outbox_log', 'id')::regclass), 0) as last_id
