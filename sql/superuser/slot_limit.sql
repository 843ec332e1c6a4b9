-- slot_limit.sql (PostgreSQL, as a superuser, in the database of the facts): who may put off the loss of the slot
-- Grain:  two grants to the owner of the database
-- To:     the remedy of the alert NeonblueSlotNearlyLost (docs/operations.md)
-- Rerun:  safe
-- In single-user mode a statement ends with a semicolon and an empty line.
do $$
begin
    execute format('grant alter system on parameter max_slot_wal_keep_size to %I', (select pg_get_userbyid(datdba) from pg_database where datname = current_database()));
    execute format('grant execute on function pg_reload_conf() to %I', (select pg_get_userbyid(datdba) from pg_database where datname = current_database()));
end $$;
