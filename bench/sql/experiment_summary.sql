-- experiment_summary.sql: each variant as a whole, from the journeys of user_journeys.sql
insert into experiment_summary (experiment_id, variant_id, variant_key, is_control, users, active_users, exposed_users, converted_users,
                                events, exposures, clicks, conversions, value_sum, first_event_at, last_event_at)
select j.experiment_id, j.variant_id, any(j.variant_key), any(j.variant_key) = 'control', count(), count(),
       countIf(j.exposures > 0), countIf(j.conversions > 0), sum(j.events), sum(j.exposures), sum(j.clicks), sum(j.conversions),
       sum(j.value_sum), min(j.first_event_at), max(j.last_event_at)
from user_journeys as j
group by j.experiment_id, j.variant_id
