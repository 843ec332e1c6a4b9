-- 210_metric_rules.sql (ClickHouse): what each metric measures, read from its definition, and the columns that hold it
-- Grain:  metric_rules: experiment × metric × part; part 0 is what is measured, part 1 the denominator of a ratio,
--         part k the (k + 1)th step of a funnel
-- From:   experiments_rows               To: rollups/*.sql, sql/read/sufficient_statistics
-- Time:   windows count from counts_from, the later of assignment and start; history is the 14 days before it
-- Rerun:  safe; adds what is missing, makes the passing tables anew, replaces the view, and has every day built again by the new rules
-- Apply:  again
-- Sorted by experiment alone: the statements that read it group by user in memory, and sorting took longer than each of them.
drop table if exists attributed_events sync;

create table attributed_events (
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
    created_at    DateTime64(6, 'UTC'),
    before        Bool,                                   -- before the user's assignment: history, counts for no effect
    counts_from   DateTime64(6, 'UTC')
)
engine = MergeTree
order by experiment_id;

alter table user_rollup
    add column if not exists denominator_sum     Float64              codec(ZSTD),
    add column if not exists counts_from         DateTime64(6, 'UTC') codec(ZSTD),
    -- What the user did before the assignment: the covariate of CUPED.
    add column if not exists history_events      UInt64               codec(ZSTD),
    add column if not exists history_sum         Float64              codec(ZSTD),
    add column if not exists history_denominator Float64              codec(ZSTD),
    -- Of a quantile of events: the value of each, sorted.
    add column if not exists measured            Array(Float64)       codec(ZSTD),
    -- Of a funnel: how many steps are done at the day's end, by how many were done at its beginning (element s + 1: after s).
    add column if not exists advance             Array(UInt8)         codec(ZSTD),
    add column if not exists history_advance     Array(UInt8)         codec(ZSTD),
    -- The user in so many bits that no two are alike: results group by it in a third of the time that the text takes.
    add column if not exists user                UInt128              materialized reinterpretAsUInt128(sipHash128(user_id));

drop table if exists user_rollup_staging sync;

create table user_rollup_staging as user_rollup;

create or replace view metric_rules as
with
    JSONExtract(m.definition, 'steps', 'Array(Tuple(event_type String, filters Array(Tuple(property String, op String, value String))))') as further,
    -- A century stands for any longer time: one moved out of its range throws, and a single metric would stop every rollup.
    days -> toInt64(round(86400 * if(days > 36500, 36500, days))) as seconds_of
select experiment_id, position, m.key as metric, m.kind as kind, m.direction as direction, m.role as role, m.definition as definition, part,
       multiIf(part = 0, m.event_type, kind = 'funnel', further[part].event_type,
               JSONExtractString(m.definition, 'denominator', 'event_type')) as event_type,
       -- '' counts events.
       multiIf(kind in ('proportion', 'retention', 'funnel'), '', part = 1, JSONExtractString(m.definition, 'denominator', 'value'),
               ifNull(m.value_property, if(kind in ('mean', 'quantile'), 'value', ''))) as property,
       multiIf(part = 0, JSONExtract(m.definition, 'filters', 'Array(Tuple(property String, op String, value String))'),
               kind = 'funnel', further[part].filters,
               JSONExtract(m.definition, 'denominator', 'filters', 'Array(Tuple(property String, op String, value String))')) as filters,
       JSONExtract(m.definition, 'cap', 'Nullable(Float64)') as cap,
       -- null where it is none: a share above 0 and below 1.
       if(kind in ('mean', 'ratio') and JSONExtractFloat(m.definition, 'cap_percentile') between 1e-9 and 1 - 1e-9,
          JSONExtractFloat(m.definition, 'cap_percentile'), null) as cap_percentile,
       JSONExtractBool(m.definition, 'ignore_zeros') as ignore_zeros,
       if(kind = 'quantile' and JSONExtractFloat(m.definition, 'quantile') between 1e-9 and 1 - 1e-9,
          JSONExtractFloat(m.definition, 'quantile'), null) as quantile,
       kind = 'quantile' and JSONExtractString(m.definition, 'of') != 'users' as of_events,
       toUInt8(if(kind = 'funnel', 1 + length(further), 0)) as steps,
       seconds_of(JSONExtractFloat(m.definition, 'window', 'from_days')) as from_seconds,
       seconds_of(JSONExtract(m.definition, 'window', 'to_days', 'Nullable(Float64)')) as to_seconds
from (
    select experiment_id,
           JSONExtract(metrics, 'Array(Tuple(key String, kind String, event_type String, value_property Nullable(String),
               direction String, role String, definition String))') as list
    from experiments_rows final where status != 'deleted'
)
array join list as m, arrayEnumerate(list) as position
array join multiIf(m.kind = 'funnel', range(toUInt64(1 + length(JSONExtract(m.definition, 'steps', 'Array(Tuple(event_type String))')))),
                   m.kind = 'ratio', [0, 1], [0]) as part;

truncate table rolled_definitions;
