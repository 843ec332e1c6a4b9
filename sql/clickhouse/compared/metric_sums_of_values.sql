-- metric_sums: of metrics that add values up, over the compared users who have rows; of the experiments {first} to {last}, and of
-- their users one of {buckets}
insert into metric_sums (experiment_id, position, variant_id, users, active, known, y, x, yy, xx, yx)
select experiment_id, position, variant_id, count(), countIf(all_events > 0), countIf(all_history > 0),
       sum(s.y), sum(s.x), sum(toInt256(s.y) * s.y), sum(toInt256(s.x) * s.x), sum(toInt256(s.y) * s.x)
from summed_users(first = {first:UInt64}, last = {last:UInt64}, buckets = {buckets:UInt64}, bucket = {bucket:UInt64}, ratios = 0) as s
group by experiment_id, position, variant_id
