-- 030_assignments.sql (PostgreSQL): which variant a user gets
-- Grain:  one row per experiment and user; the first assignment stays
-- From:   080_accept_assignments      To: 070 (events that name an experiment), outbox_log
-- Time:   assigned_at is the moment from which events count (the client's where it assigned elsewhere);
--         created_at is our clock
-- Rerun:  safe; creates what is missing, changes nothing that exists
create table if not exists assignments (
    experiment_id  bigint      not null references experiments,
    user_id        text        not null check (char_length(user_id) between 1 and 256),
    variant_id     bigint      not null references variants,
    assigned_at    timestamptz not null,
    source         text        not null default 'api',
    attributes     jsonb       not null default '{}',
    request_id     text,
    created_at     timestamptz not null,
    primary key (experiment_id, user_id)
);
create index if not exists assignments_of_a_user on assignments (user_id);
