-- 010_users.sql (PostgreSQL): the people an application tells us about
-- Grain:  one row per user_id; a user may take part in experiments without a row here
-- From:   neonblue_api                To: routes that list and describe users
-- Time:   created_at, updated_at are our clock, UTC
-- Rerun:  safe; creates what is missing, changes nothing that exists
create table if not exists users (
    user_id     text        primary key check (char_length(user_id) between 1 and 256),
    attributes  jsonb       not null default '{}',
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);

-- A token is known only by its SHA-256, so that a copy of the table opens nothing.
create table if not exists api_tokens (
    token_id      bigint      generated always as identity primary key,
    name          text        not null,
    token_sha256  bytea       not null unique,
    scopes        text[]      not null check (scopes <@ array['ingest', 'read', 'manage']),
    created_at    timestamptz not null default now(),
    expires_at    timestamptz,
    last_used_at  timestamptz,
    revoked_at    timestamptz
);
