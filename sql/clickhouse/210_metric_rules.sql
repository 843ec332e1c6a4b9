-- 210_metric_rules.sql (ClickHouse): what each metric measures, read from its definition, and the columns that hold it
-- Grain:  metric_rules: experiment × metric × part; part 0 is what is measured, part 1 the denominator of a ratio
-- From:   experiments_rows               To: rollups/*.sql, sql/read/sufficient_statistics
-- Time:   windows count from counts_from, the later of assignment and start; history is the 14 days before it
-- Rerun:  safe; adds what is missing, replaces the view, and has every day built again by the new rules
-- Apply:  again
alter table attributed_events
    add column if not exists before      Bool,                 -- before the user's assignment: history, counts for no effect
    add column if not exists counts_from DateTime64(6, 'UTC');

alter table user_rollup
    add column if not exists denominator_sum     Float64              codec(ZSTD),
    add column if not exists counts_from         DateTime64(6, 'UTC') codec(ZSTD),
    -- What the user did before the assignment: the covariate of CUPED.
    add column if not exists history_events      UInt64               codec(ZSTD),
    add column if not exists history_sum         Float64              codec(ZSTD),
    add column if not exists history_denominator Float64              codec(ZSTD);

alter table user_rollup_staging
    add column if not exists denominator_sum     Float64              codec(ZSTD),
    add column if not exists counts_from         DateTime64(6, 'UTC') codec(ZSTD),
    add column if not exists history_events      UInt64               codec(ZSTD),
    add column if not exists history_sum         Float64              codec(ZSTD),
    add column if not exists history_denominator Float64              codec(ZSTD);

create or replace view metric_rules as
select experiment_id, position, m.key as metric, m.kind as kind, m.direction as direction, m.role as role, m.definition as definition, part,
       if(part = 0, m.event_type, JSONExtractString(m.definition, 'denominator', 'event_type')) as event_type,
       -- '' counts events.
       multiIf(m.kind in ('proportion', 'retention'), '', part = 1, JSONExtractString(m.definition, 'denominator', 'value'),
               ifNull(m.value_property, if(m.kind = 'mean', 'value', ''))) as property,
       if(part = 0, JSONExtract(m.definition, 'filters', 'Array(Tuple(property String, op String, value String))'),
          JSONExtract(m.definition, 'denominator', 'filters', 'Array(Tuple(property String, op String, value String))')) as filters,
       JSONExtract(m.definition, 'cap', 'Nullable(Float64)') as cap,
       toInt64(round(86400 * JSONExtractFloat(m.definition, 'window', 'from_days'))) as from_seconds,
       toInt64(round(86400 * JSONExtract(m.definition, 'window', 'to_days', 'Nullable(Float64)'))) as to_seconds
from (
    select experiment_id,
           JSONExtract(metrics, 'Array(Tuple(key String, kind String, event_type String, value_property Nullable(String),
               direction String, role String, definition String))') as list
    from experiments_rows final
)
array join list as m, arrayEnumerate(list) as position
array join if(m.kind = 'ratio', [0, 1], [0]) as part;

truncate table rolled_definitions;
