-- user_rollup.sql: of users 0 to {users}, {each} of the metrics each, on one of three days, in the experiments of assignments.sql
insert into user_rollup (day, experiment_id, metric, variant_id, user_id, events, value_sum, denominator_sum, counts_from,
                         history_events, history_sum)
with {ids:Array(UInt64)} as ids, {metrics:Array(String)} as metrics,
     intDiv(number, {each:UInt64}) as user,
     ids[user * 31 % length(ids) + 1] as of_experiment,
     ['control', 'new'][cityHash64(user, of_experiment) % 2 + 1] as of_variant,
     (select groupArray((concat(toString(experiment_id), '/', variant_key), variant_id)) from experiment_variants) as variants
select toDate32({start:DateTime64(6, 'UTC')}) + rand(1) % 3, of_experiment, metrics[(user + number % {each:UInt64} * 7) % length(metrics) + 1],
       transform(concat(toString(of_experiment), '/', of_variant), variants.1, variants.2, toUInt64(0)), concat('u-', leftPad(toString(user), 10, '0')),
       1 + rand(2) % 5, round(exp(3 + 2 * randCanonical(3)), 2), 1 + rand(4) % 9, {start:DateTime64(6, 'UTC')}, 0, 0
from numbers({users:UInt64} * {each:UInt64})
