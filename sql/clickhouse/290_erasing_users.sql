-- 290_erasing_users.sql (ClickHouse): whose rows are being deleted
-- Grain:  one row per person while an erasure works
-- From:   neonblue_pipeline (erasing/analytics)   To: mutations, whose text is kept in files and must name nobody
-- Rerun:  safe; creates what is missing
-- In memory: it leaves no file. After a restart it is empty, and a mutation that goes on deletes nothing: the step is done again.
create table if not exists erasing_users (user_id String)
engine = Memory;
