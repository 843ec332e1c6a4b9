-- 090_publication.sql (PostgreSQL): what Debezium may read
-- Grain:  one publication; inserts into outbox_log, under the name of the partitioned table
-- To:     the connector (neonblue_pipeline/connector.json), which never creates a publication of its own
-- Rerun:  safe; creates what is missing
do $$
begin
    if not exists (select from pg_publication where pubname = 'experiments_outbox') then
        create publication experiments_outbox for table outbox_log
            with (publish = 'insert', publish_via_partition_root = true);
    end if;
end $$;
