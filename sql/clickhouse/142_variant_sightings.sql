-- 142_variant_sightings.sql (ClickHouse): every variant in which a user was ever seen
-- Grain:  variant_sightings: experiment × user × variant until merged
-- From:   incoming_assignments (those deleted since, too); incoming_events: exposures, of the variant held at acceptance and of
--         the one that properties.variant names     To: 220_compared_users, readers
-- Rerun:  replaces the views, with the stream stopped meanwhile
-- Apply:  again
create table if not exists variant_sightings (
    experiment_id UInt64,
    user_id       String                 codec(ZSTD),
    variant       LowCardinality(String)
)
engine = ReplacingMergeTree
order by (experiment_id, user_id, variant);

drop view if exists variant_sightings_from_assignments;

create materialized view variant_sightings_from_assignments to variant_sightings as
select experiment_id, user_id, variant_key as variant
from incoming_assignments
where reason = '';

drop view if exists variant_sightings_from_exposures;

create materialized view variant_sightings_from_exposures to variant_sightings as
select assumeNotNull(experiment_id) as experiment_id, user_id,
       arrayJoin(arrayFilter(key -> key != '', [ifNull(toString(variant_key), ''), JSONExtractString(properties, 'variant')])) as variant
from incoming_events
where reason = '' and event_type = 'exposure' and experiment_id is not null;

-- What had arrived before this table was there; a sighting twice is one.
insert into variant_sightings
select experiment_id, user_id, variant_key from assignments_rows
union all
select assumeNotNull(experiment_id), user_id,
       arrayJoin(arrayFilter(key -> key != '', [ifNull(toString(variant_key), ''), JSONExtractString(properties, 'variant')]))
from events_rows
where event_type = 'exposure' and experiment_id is not null;
