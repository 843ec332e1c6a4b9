-- experiment_properties.sql (ClickHouse): one experiment by the values of a property
-- Grain:  variant × value of the property, most events first; parameters experiment_id, property, event_type ('' for all), limit
-- Units:  users: distinct; value: sum of properties.value. property_value is null where an event has not the property
-- An event counts as in the rollups: from the assignment on, within the run, for the experiment it names or for all.
select a.variant_key as variant_key,
       multiIf({property:String} = 'page', toString(e.page), {property:String} = 'device', toString(e.device),
               {property:String} = 'browser', toString(e.browser),
               not JSONHas(e.readable, {property:String}), null,
               JSONType(e.readable, {property:String}) = 'String',
                   trim(leading '\0' from JSONExtractString(e.readable, {property:String})),
               replaceRegexpAll(JSONExtractRaw(e.readable, {property:String}), '"\\\\u0000([^"]*)"', '\\1')) as property_value,
       count() as events, uniqExact(e.user_id) as users, countIf(e.is_conversion) as conversions, sum(e.value) as value
from (
    select user_id, timestamp, experiment_id, event_type, is_conversion, page, device, browser, value,
           -- The parser rounds long numbers and refuses a document with an integer beyond 64 bits: they are read as text,
           -- marked by U+0000, which no accepted text holds.
           if(not match(properties, '[0-9.]{16}'), properties,
              arrayStringConcat(arrayMap(
                  token -> if(match(token, '^-?[0-9]') and length(token) > 15, concat('"\\u0000', token, '"'), token),
                  extractAll(properties, '"(?:[^"\\\\]|\\\\.)*"|-?[0-9][0-9.eE+-]*|[^"0-9-]+')))) as readable
    from events_processed
    where {event_type:String} = '' or event_type = {event_type:String}
) as e
inner join (
    select user_id, variant_key, greatest(assigned_at, assumeNotNull(d.started_at)) as counts_from,
           ifNull(d.stopped_at, toDateTime64('2299-12-31 23:59:59', 6, 'UTC')) as counts_until
    from assignments_mv as a
    inner join experiment_definitions as d on d.experiment_id = a.experiment_id
    where a.experiment_id = {experiment_id:UInt64} and d.started_at is not null
) as a on a.user_id = e.user_id
where e.timestamp >= a.counts_from and e.timestamp < a.counts_until
  and (e.experiment_id is null or e.experiment_id = {experiment_id:UInt64})
group by variant_key, property_value
order by events desc, variant_key, property_value
limit {limit:UInt32}
-- As neonblue_pipeline.clickhouse: joins in another order have lost rows.
settings query_plan_optimize_join_order_limit = 0
