-- assignments.sql: users 0 to {users}, each in {each} of the experiments {ids}, evenly over both variants, from {start} on
insert into incoming_assignments (topic, partition, offset, reason, kafka_timestamp, outbox_id, experiment_id, experiment_key, user_id,
                                  variant_id, variant_key, assigned_at, source, attributes, created_at, deleted)
with {ids:Array(UInt64)} as ids,
     intDiv(number, {each:UInt64}) as user,
     ids[(user * 31 + number % {each:UInt64} * 17) % length(ids) + 1] as of_experiment,
     ['control', 'new'][cityHash64(user, of_experiment) % 2 + 1] as of_variant,
     (select groupArray((concat(toString(experiment_id), '/', variant_key), variant_id)) from experiment_variants) as variants
select {topic:String}, 0, 0, '', now64(3), number + 1, of_experiment, '', concat('u-', leftPad(toString(user), 10, '0')),
       transform(concat(toString(of_experiment), '/', of_variant), variants.1, variants.2, toUInt64(0)), of_variant,
       {start:DateTime64(6, 'UTC')}, 'bench', '{}', {start:DateTime64(6, 'UTC')}, false
from numbers({users:UInt64} * {each:UInt64})
