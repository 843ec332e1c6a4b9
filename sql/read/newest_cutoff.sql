-- newest_cutoff.sql (ClickHouse): up to which acceptance (PostgreSQL's clock) there are results
-- Grain:  one row; null where there are none
select maxOrNull(cutoff_at) as cutoff_at from experiment_quality_rows
