-- metric_sums: the same of ratios, which have a denominator, too
insert into metric_sums (experiment_id, position, variant_id, users, active, known, y, d, x, z, yy, dd, xx, zz, yd, yx, yz, dx, dz, xz)
select experiment_id, position, variant_id, count(), countIf(all_events > 0), countIf(all_history > 0),
       sum(s.y), sum(s.d), sum(s.x), sum(s.z),
       sum(toInt256(s.y) * s.y), sum(toInt256(s.d) * s.d), sum(toInt256(s.x) * s.x), sum(toInt256(s.z) * s.z),
       sum(toInt256(s.y) * s.d), sum(toInt256(s.y) * s.x), sum(toInt256(s.y) * s.z),
       sum(toInt256(s.d) * s.x), sum(toInt256(s.d) * s.z), sum(toInt256(s.x) * s.z)
from summed_users(first = {first:UInt64}, last = {last:UInt64}, buckets = {buckets:UInt64}, bucket = {bucket:UInt64}, ratios = 1) as s
group by experiment_id, position, variant_id
