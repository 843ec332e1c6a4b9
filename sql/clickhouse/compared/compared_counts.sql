-- compared_counts: users compared: all that are assigned, or with a window those whose window is over
insert into compared_counts (experiment_id, metric, variant_id, users)
select m.experiment_id as experiment_id, m.metric as metric, a.variant_id as variant_id, sum(a.users) as users
from assigned_counts as a
inner join (select * from metric_terms where to_seconds is null) as m on m.experiment_id = a.experiment_id
group by experiment_id, metric, variant_id
union all
select experiment_id, metric, variant_id, count() as users from ripe_users group by experiment_id, metric, variant_id
