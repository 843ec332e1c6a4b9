-- assigned_counts: users of each variant, those seen in one only
insert into assigned_counts (experiment_id, variant_id, users, told)
select experiment_id, variant_id, count() as users, countIf(attributes != '{}') as told from assigned_users group by experiment_id, variant_id
