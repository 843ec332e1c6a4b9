-- erasure.sql (PostgreSQL, as a superuser, in the database of the facts): what the end of an erasure needs
-- Grain:  two grants to the owner of the database
-- To:     neonblue_pipeline (erasing/postgres), which has every file of the write-ahead log written over or removed
-- Rerun:  safe
-- In single-user mode a statement ends with a semicolon and an empty line.
do $$
begin
    execute format('grant pg_checkpoint to %I', (select pg_get_userbyid(datdba) from pg_database where datname = current_database()));
    execute format('grant execute on function pg_switch_wal() to %I', (select pg_get_userbyid(datdba) from pg_database where datname = current_database()));
    execute format('grant execute on function pg_ls_waldir() to %I', (select pg_get_userbyid(datdba) from pg_database where datname = current_database()));
end $$;
