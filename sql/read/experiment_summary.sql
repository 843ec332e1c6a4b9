-- experiment_summary.sql (ClickHouse): live performance of one experiment's variants
-- Grain:  one row per variant; parameter experiment_id
-- Units:  users: assigned; unique_users: with an event that counts; value: sum of properties.value
select variant_key, is_control, users, active_users as unique_users, exposed_users, converted_users, events, exposures, clicks,
       conversions, value_sum as value, last_event_at
from experiment_summary
where experiment_id = {experiment_id:UInt64}
order by is_control desc, variant_key
