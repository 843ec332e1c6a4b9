-- 050_outbox.sql (PostgreSQL): what the stream will carry
-- Grain:  one row per accepted fact or published definition, written in the transaction that stores it
-- From:   070, 080, 085               To: Debezium, through the publication in 090
-- Time:   created_at is our clock, equal to created_at of the fact
-- Rerun:  safe; creates what is missing, changes nothing that exists
create table if not exists outbox_log (
    id              bigint      generated always as identity,
    aggregate_id    text        not null,
    aggregate_type  text        not null,
    event_type      text        not null,
    partition_key   text        not null,             -- becomes the Kafka key: one user's facts stay in order
    payload         jsonb       not null,
    created_at      timestamptz not null
) partition by range (created_at);
-- Neither primary key nor B-tree: rows are only appended, read by time, and dropped by the day.
create index if not exists outbox_log_by_time on outbox_log using brin (created_at);

-- Windows of created_at compared between PostgreSQL and ClickHouse, by the pipeline's reconciliation.
create table if not exists reconciliation_windows (
    window_start         timestamptz not null,
    window_end           timestamptz not null check (window_end > window_start),
    aggregate_type       text        not null,        -- 'event' or 'assignment'
    postgres_count       bigint      not null,
    clickhouse_count     bigint      not null,
    postgres_checksum    text        not null,        -- order-free, of the ids
    clickhouse_checksum  text        not null,
    checked_at           timestamptz not null,
    proven_at            timestamptz,                 -- first check at which both sides were equal
    primary key (window_start, aggregate_type)
);

-- processed_at: when the row's window was proven to be in ClickHouse. Derived, so that proving a million rows updates none.
create or replace view outbox_events as
select id, aggregate_id, aggregate_type, event_type, payload, created_at,
       (select w.proven_at from reconciliation_windows w
        where w.aggregate_type = o.aggregate_type
          and w.window_start <= o.created_at and o.created_at < w.window_end
        order by w.window_start desc limit 1) as processed_at,
       partition_key
from outbox_log o;
