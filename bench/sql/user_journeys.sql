-- user_journeys.sql: one journey of {steps} events of each of {users} users of an experiment, on one of three days
insert into user_journeys (day, experiment_id, variant_id, variant_key, user_id, events, exposures, clicks, conversions, value_sum,
                           first_event_at, last_event_at, last_accepted_at, steps)
with {start:DateTime64(6, 'UTC')} + toIntervalDay(number % 3) + toIntervalSecond(rand(1) % 40000) as begin,
     ['page_view', 'page_view', 'page_view', 'page_view', 'page_view', 'click', 'click', 'click', 'exposure', 'conversion'] as types,
     arrayMap(n -> (begin + toIntervalSecond(n * 40), types[(number + n) % 10 + 1], concat('/shoes/', toString((number + n) % 20000)),
                    if((number + n) % 10 = 9, 39.99, null)),
              range({steps:UInt64})) as walk,
     (select groupArray((variant_id, variant_key)) from experiment_variants where experiment_id = {experiment_id:UInt64})[number % 2 + 1]
         as variant
select toDate32(begin), {experiment_id:UInt64}, variant.1, variant.2, concat('u-', leftPad(toString(number), 10, '0')), {steps:UInt64},
       arrayCount(s -> s.2 = 'exposure', walk), arrayCount(s -> s.2 = 'click', walk), arrayCount(s -> s.2 = 'conversion', walk),
       arraySum(s -> ifNull(s.4, 0.), walk), walk[1].1, walk[-1].1, walk[-1].1, walk
from numbers({users:UInt64})
