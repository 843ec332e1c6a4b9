-- metric_sums: the same of funnels, and how many users did each step
insert into metric_sums (experiment_id, position, variant_id, users, active, known, y, x, yy, xx, yx, by_step)
select experiment_id, position, variant_id, count(), countIf(all_events > 0), countIf(all_history > 0),
       countIf(reached = steps) as did, countIf(reached_before = steps) as had_done, did, had_done,
       countIf(reached = steps and reached_before = steps),
       sumForEach(arrayMap(step -> toUInt64(reached > step), range(steps)))
from funnel_users(first = {first:UInt64}, last = {last:UInt64}, buckets = {buckets:UInt64}, bucket = {bucket:UInt64})
group by experiment_id, position, variant_id
