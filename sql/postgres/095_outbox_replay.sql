-- 095_outbox_replay.sql (PostgreSQL): sending outbox rows again
-- Grain:  outbox_replay is empty but for the length of a transaction; resend_outbox: one call per span of created_at
-- From:   neonblue_pipeline (replay)     To: Debezium, which streams the rows as it does those of outbox_log
-- Rerun:  safe; creates what is missing
-- A row keeps its id, by which every reader tells it from a new one; outbox_log itself stays as it is.
create table if not exists outbox_replay (
    id              bigint      not null,
    aggregate_id    text        not null,
    aggregate_type  text        not null,
    event_type      text        not null,
    partition_key   text        not null,
    payload         jsonb       not null,
    created_at      timestamptz not null
);

do $$
begin
    if not exists (select from pg_publication_tables where pubname = 'experiments_outbox' and tablename = 'outbox_replay') then
        alter publication experiments_outbox add table outbox_replay;
    end if;
end $$;

-- Sends the rows of one aggregate type with first <= created_at < until again, in their order; returns how many.
-- The write-ahead log carries them, so they are deleted at once; a deletion is not published.
create or replace function resend_outbox(of_type text, first timestamptz, until timestamptz) returns bigint
language plpgsql as $$
declare
    sent bigint;
begin
    insert into outbox_replay (id, aggregate_id, aggregate_type, event_type, partition_key, payload, created_at)
    select id, aggregate_id, aggregate_type, event_type, partition_key, payload, created_at
    from outbox_log
    where created_at >= first and created_at < until and aggregate_type = of_type
    order by id;
    get diagnostics sent = row_count;
    delete from outbox_replay;
    return sent;
end $$;
