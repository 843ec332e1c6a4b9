-- assigned_counts: users of each variant and phase, those seen in one variant only
insert into assigned_counts (experiment_id, variant_id, place, users, told, recent)
select a.experiment_id as experiment_id, a.variant_id as variant_id,
       greatest(arrayCount(began_at -> began_at <= a.assigned_at, r.began), 1) as place,
       count() as users, countIf(a.attributes != '{}') as told, countIf(a.assigned_at > r.recent_from) as recent
from assigned_users as a
left join (select experiment_id, recent_from, phases.1 as began from experiment_runs) as r on r.experiment_id = a.experiment_id
where a.experiment_id in (select experiment_id from experiment_cutoffs)
group by experiment_id, variant_id, place
