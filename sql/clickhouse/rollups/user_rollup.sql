-- user_rollup: what each user did for each metric on each day
-- Floats are added in sorted order, so that the sum does not depend on the order in which rows arrived.
insert into user_rollup_staging
select e.day, e.experiment_id, m.metric, any(e.variant_id), e.user_id, count() as events,
       arraySum(arraySort(groupArray(
           multiIf(m.kind != 'mean', null, m.value_property = 'value', e.value, m.value_property = 'score', e.score,
                   JSONExtract(if(isValidJSON(e.properties), e.properties,
                       arrayStringConcat(arrayMap(
                           token -> multiIf(not match(token, '^-?[0-9]') or length(token) < 19, token,
                                            not isFinite(toFloat64OrZero(token)), 'null',
                                            match(token, '^-?[0-9]+$'), concat(token, 'e0'), token),
                           extractAll(e.properties, '"(?:[^"\\\\]|\\\\.)*"|-?[0-9][0-9.eE+-]*|[^"0-9-]+')))),
                       m.value_property, 'Nullable(Float64)'))))) as value_sum
from attributed_events as e
inner join experiment_metrics as m on m.experiment_id = e.experiment_id and m.event_type = e.event_type
group by e.day, e.experiment_id, m.metric, e.user_id
