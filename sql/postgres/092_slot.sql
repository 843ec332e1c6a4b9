-- 092_slot.sql (PostgreSQL): the position from which the write-ahead log is kept for Debezium
-- Grain:  one logical slot
-- To:     the connector, which finds it here and begins at its creation: what the API accepts before the connector's first
--         start is streamed, too
-- Rerun:  safe; creates what is missing
do $$
begin
    if not exists (select from pg_replication_slots where slot_name = 'neonblue_outbox') then
        perform pg_create_logical_replication_slot('neonblue_outbox', 'pgoutput');
    end if;
end $$;
