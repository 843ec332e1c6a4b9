-- 020_experiments.sql (PostgreSQL): what is being compared, and by which measures
-- Grain:  one row per experiment, per variant and phase of it, per metric, per metric used by an experiment
-- From:   neonblue_api                To: 070 (resolves keys), 085 (publish_experiment carries a definition to ClickHouse)
-- Time:   started_at, stopped_at bound the run within which events count
-- Rerun:  safe; creates what is missing, changes nothing that exists
-- Apply:  again
create table if not exists experiments (
    experiment_id  bigint      generated always as identity primary key,
    key            text        not null unique check (key ~ '^[A-Za-z0-9._-]{1,128}$'),
    name           text        not null,
    description    text        not null default '',
    status         text        not null default 'draft' check (status in ('draft', 'running', 'stopped', 'archived')),
    seed           text        not null,              -- of the hash that buckets users; never changes once started
    coverage       numeric     not null default 1 check (coverage > 0 and coverage <= 1),
    revision       bigint      not null default 0,    -- grows with every published change
    started_at     timestamptz,
    stopped_at     timestamptz,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    check (status = 'draft' or started_at is not null)
);

create table if not exists variants (
    variant_id     bigint      generated always as identity primary key,
    experiment_id  bigint      not null references experiments,
    key            text        not null check (key ~ '^[A-Za-z0-9._-]{1,128}$'),
    name           text        not null default '',
    weight         numeric     not null check (weight >= 0 and weight <= 1),
    is_control     boolean     not null default false,
    position       int         not null,              -- order of the hash buckets
    created_at     timestamptz not null default now(),
    unique (experiment_id, key),
    unique (experiment_id, position)
);
create unique index if not exists one_control_per_experiment on variants (experiment_id) where is_control;

create table if not exists metrics (
    metric_id       bigint      generated always as identity primary key,
    key             text        not null unique check (key ~ '^[A-Za-z0-9._-]{1,128}$'),
    name            text        not null default '',
    kind            text        not null,
    event_type      text        not null,
    value_property  text,                             -- null: the property "value"
    direction       text        not null default 'increase' check (direction in ('increase', 'decrease')),
    definition      jsonb       not null default '{}', -- filters, window, cap: what a kind needs further
    revision        bigint      not null default 0,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now()
);

create table if not exists experiment_metrics (
    experiment_id  bigint not null references experiments,
    metric_id      bigint not null references metrics,
    role           text   not null default 'target' check (role in ('target', 'secondary', 'guardrail')),
    position       int    not null,
    primary key (experiment_id, metric_id)
);

-- The weights and coverage by which users were assigned, since when. A new phase leaves assigned users where they are.
create table if not exists experiment_phases (
    experiment_id  bigint      not null references experiments,
    phase          int         not null check (phase > 0),
    began_at       timestamptz not null,
    ended_at       timestamptz,                       -- null: the present one
    coverage       numeric     not null,
    weights        jsonb       not null,              -- {variant key: weight}
    reason         text        not null,
    primary key (experiment_id, phase)
);
