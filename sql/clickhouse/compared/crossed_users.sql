-- crossed_users: users seen in several variants of an experiment, who are left out
insert into crossed_users (experiment_id, user_id)
select s.experiment_id as experiment_id, s.user_id as user_id
from variant_sightings as s
inner join (select experiment_id, variant_key from experiment_variants) as v on v.experiment_id = s.experiment_id and v.variant_key = s.variant
group by experiment_id, user_id
having min(s.variant) != max(s.variant)
