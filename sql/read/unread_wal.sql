-- unread_wal.sql (PostgreSQL): how far the connector is behind, in bytes of write-ahead log
-- Grain:  one row; none where the slot does not exist; parameter slot
-- Units:  bytes: unread: not confirmed; kept: on disk for the slot (it also holds transactions that are open);
--         safe: may still be written before the slot is lost, null where max_slot_wal_keep_size sets no limit
select active, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint as unread_bytes,
       pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint as kept_bytes, safe_wal_size as safe_bytes
from pg_replication_slots
where slot_name = %(slot)s
