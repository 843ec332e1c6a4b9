-- crossed_users: users seen in several variants of an experiment, who are left out; of {experiments}
insert into crossed_users (experiment_id, user_id)
select experiment_id, user_id from users_in_several_variants(experiments = {experiments:Array(UInt64)})
