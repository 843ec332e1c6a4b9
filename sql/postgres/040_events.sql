-- 040_events.sql (PostgreSQL): what users did, as accepted
-- Grain:  one row per event id, for as long as its day is kept
-- From:   070_accept_events           To: reconciliation, replay, routes that list events
-- Time:   timestamp is the client's (UTC), created_at and received_on are our clock at acceptance
-- Rerun:  safe; creates what is missing, changes nothing that exists
create table if not exists events (
    event_id       uuid        not null,
    received_on    date        not null,              -- UTC day of created_at; a day is dropped whole
    user_id        text        not null,
    event_type     text        not null,
    timestamp      timestamptz not null,
    experiment_id  bigint,                            -- null: counts for every experiment the user is in
    variant_id     bigint,
    assignment_at  timestamptz,
    properties     jsonb       not null,
    session_id     text,
    request_id     text,
    body_hash      bigint      not null,              -- of what the client sent: tells a repeat from a conflict
    created_at     timestamptz not null,
    primary key (event_id, received_on)
) partition by range (received_on);
create index if not exists events_by_user on events (user_id, timestamp);
create index if not exists events_by_time on events using brin (created_at);
