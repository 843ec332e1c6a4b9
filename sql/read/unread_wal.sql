-- unread_wal.sql (PostgreSQL): how far the connector is behind, in bytes of write-ahead log
-- Grain:  one row; none where the slot does not exist; parameter slot
select active, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint as unread_bytes
from pg_replication_slots
where slot_name = %(slot)s
