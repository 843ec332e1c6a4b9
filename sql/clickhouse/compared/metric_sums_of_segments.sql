-- metric_sums: of the users of each segment in user_segments, without what they did before; of the experiments {first} to {last}, and
-- of their users one of {buckets}
insert into metric_sums (experiment_id, position, variant_id, dimension, segment, users, active, y, d, yy, dd, yd)
select s.experiment_id, u.position, s.variant_id, s.dimension, s.segment, count(), countIf(u.all_events > 0),
       sum(u.y), sum(u.d), sum(toInt256(u.y) * u.y), sum(toInt256(u.d) * u.d), sum(toInt256(u.y) * u.d)
from metric_users(first = {first:UInt64}, last = {last:UInt64}, buckets = {buckets:UInt64}, bucket = {bucket:UInt64}) as u
inner join (
    select experiment_id, reinterpretAsUInt128(sipHash128(user_id)) as user, variant_id, dimension, segment
    from user_segments
    where experiment_id between {first:UInt64} and {last:UInt64} and toUInt64(user) % {buckets:UInt64} = {bucket:UInt64}
) as s on s.experiment_id = u.experiment_id and s.user = u.user
group by s.experiment_id, u.position, s.variant_id, s.dimension, s.segment
