-- 099_recoveries.sql (PostgreSQL): repairs of the stream that began, so that one that broke off is taken up again
-- Grain:  one row per repair that found something broken
-- From:   neonblue_pipeline (recovery)        To: the sensor broken_stream
-- Time:   our clock, UTC
-- Rerun:  safe; creates what is missing, changes nothing that exists
create table if not exists recoveries (
    recovery_id bigint      generated always as identity primary key,
    found       text        not null,               -- what was broken, in a sentence
    begun_at    timestamptz not null default now(),
    finished_at timestamptz                         -- null: what was lost with it may still be missing
);
create index if not exists recoveries_open on recoveries (recovery_id) where finished_at is null;
