-- 098_alarms.sql (PostgreSQL): what is broken or was, and the messages that tell of it
-- Grain:  alarms: one row per trouble from its first sight to its end; alarm_messages: one per message and destination
-- From:   neonblue_pipeline (alarms)     To: `neonblue alarms`; the services that NEONBLUE_ALARM_URLS names
-- Time:   our clock, UTC
-- Rerun:  safe; creates what is missing, changes nothing that exists
create table if not exists alarms (
    alarm_id   bigint      generated always as identity primary key,
    key        text        not null,               -- the same trouble has the same key
    probe      text        not null,               -- who saw it; an alarm of a probe that cannot look stays as it is
    what       text        not null,
    how_bad    text        not null,               -- as measured last
    cure       text        not null,
    serious    boolean     not null,
    since      timestamptz not null,
    seen_at    timestamptz not null,               -- the last look that found it
    told_at    timestamptz,                        -- null while it may be a moment's trouble only
    healed_at  timestamptz
);
create unique index if not exists alarms_open on alarms (key) where healed_at is null;

-- Written in the transaction that changes the alarm, so that each change is told once, whoever dies in between.
create table if not exists alarm_messages (
    message_id  bigint      generated always as identity primary key,
    destination text        not null,              -- fingerprint of the URL, which is a secret
    kind        text        not null check (kind in ('broken', 'healed')),
    title       text        not null,
    body        text        not null,
    created_at  timestamptz not null,
    sent_at     timestamptz
);
create index if not exists alarm_messages_unsent on alarm_messages (destination, message_id) where sent_at is null;
