-- 097_free_disk.sql (PostgreSQL): how much may still be written
-- Grain:  one value; null where sql/superuser/disk.sql was not applied, or df does not answer
-- To:     neonblue_api, which refuses facts before the disk is full
-- Rerun:  safe; replaces the function
create or replace function free_disk_bytes() returns bigint
language plpgsql as $$
begin
    if to_regclass('neonblue_disk.free') is null then
        return null;
    end if;
    return (select free_bytes from neonblue_disk.free);
exception when external_routine_exception or system_error or io_error or data_exception then
    raise warning 'the free space of the disk is not known: %', sqlerrm;
    return null;
end $$;
