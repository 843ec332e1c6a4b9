-- 200_rollups.sql (ClickHouse): what is counted ahead, a partition a day
-- Grain:  user_rollup: experiment × user × metric × day; hourly_metrics, daily_metrics: experiment × variant × hour or day × event
--         type; user_journeys: experiment × user × day; experiment_summary: experiment × variant
-- From:   rollups/*.sql, through staging tables and REPLACE PARTITION     To: significance, readers
-- Time:   day and hour are UTC, of the event's timestamp; last_accepted_at is PostgreSQL's clock
-- Rerun:  safe; creates what is missing, changes nothing that exists
create table if not exists user_rollup (
    day              Date32,
    experiment_id    UInt64,
    metric           LowCardinality(String),
    variant_id       UInt64,
    user_id          String               codec(ZSTD),
    events           UInt64               codec(ZSTD),
    value_sum        Float64              codec(ZSTD)
)
engine = MergeTree
partition by day
order by (experiment_id, metric, user_id);

create table if not exists hourly_metrics (
    experiment_id    UInt64,
    variant_id       UInt64,
    variant_key      LowCardinality(String),
    hour             DateTime64(0, 'UTC'),
    event_type       LowCardinality(String),
    events           UInt64,
    users            UInt64,
    value_sum        Float64                              -- of properties.value
)
engine = MergeTree
partition by toDate32(hour)
order by (experiment_id, variant_id, event_type, hour);

create table if not exists daily_metrics (
    experiment_id    UInt64,
    variant_id       UInt64,
    variant_key      LowCardinality(String),
    day              Date32,
    event_type       LowCardinality(String),
    events           UInt64,
    users            UInt64,
    value_sum        Float64
)
engine = MergeTree
partition by day
order by (experiment_id, variant_id, event_type, day);

create table if not exists user_journeys (
    day              Date32,
    experiment_id    UInt64,
    variant_id       UInt64,
    variant_key      LowCardinality(String),
    user_id          String               codec(ZSTD),
    events           UInt64,
    exposures        UInt64,
    clicks           UInt64,
    conversions      UInt64,
    value_sum        Float64              codec(ZSTD),
    first_event_at   DateTime64(6, 'UTC') codec(Delta, ZSTD),
    last_event_at    DateTime64(6, 'UTC') codec(Delta, ZSTD),
    last_accepted_at DateTime64(6, 'UTC') codec(Delta, ZSTD),
    steps            Array(Tuple(timestamp DateTime64(6, 'UTC'), event_type String, page String, value Nullable(Float64)))
                     codec(ZSTD)                          -- in time order, the first thousand
)
engine = MergeTree
partition by day
order by (experiment_id, user_id);

create table if not exists experiment_summary (
    experiment_id    UInt64,
    variant_id       UInt64,
    variant_key      String,
    is_control       Bool,
    users            UInt64,                              -- assigned
    active_users     UInt64,                              -- with an event that counts
    exposed_users    UInt64,
    converted_users  UInt64,
    events           UInt64,
    exposures        UInt64,
    clicks           UInt64,
    conversions      UInt64,
    value_sum        Float64,
    first_event_at   Nullable(DateTime64(6, 'UTC')),
    last_event_at    Nullable(DateTime64(6, 'UTC'))
)
engine = MergeTree
order by (experiment_id, variant_id);

create table if not exists user_rollup_staging as user_rollup;

create table if not exists hourly_metrics_staging as hourly_metrics;

create table if not exists daily_metrics_staging as daily_metrics;

create table if not exists user_journeys_staging as user_journeys;

create table if not exists experiment_summary_staging as experiment_summary;

-- Events with the experiments they count for, of the days being built; empty between runs.
create table if not exists attributed_events (
    experiment_id UInt64,
    variant_id    UInt64,
    variant_key   LowCardinality(String),
    user_id       String,
    day           Date32,
    timestamp     DateTime64(6, 'UTC'),
    id            UUID,
    event_type    LowCardinality(String),
    page          LowCardinality(Nullable(String)),
    value         Nullable(Float64),
    score         Nullable(Float64),
    properties    String,                                 -- only where a metric of the experiment reads another property
    created_at    DateTime64(6, 'UTC')
)
engine = MergeTree
order by (experiment_id, user_id, timestamp, id);

-- The definitions that the rollups were built with: what differs from experiment_definitions has days to build again.
create table if not exists rolled_definitions (
    experiment_id UInt64,
    revision      UInt64,
    started_at    Nullable(DateTime64(6, 'UTC')),
    stopped_at    Nullable(DateTime64(6, 'UTC')),
    metrics       String,
    rolled_at     DateTime64(6, 'UTC') default now64(6)
)
engine = ReplacingMergeTree(rolled_at)
order by experiment_id;
