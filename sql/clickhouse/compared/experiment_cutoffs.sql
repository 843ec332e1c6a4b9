-- experiment_cutoffs: acceptance of each experiment's last fact
insert into experiment_cutoffs (experiment_id, cutoff_at)
select experiment_id, max(at) as cutoff_at
from (
    select experiment_id, max(last_accepted_at) as at from user_journeys group by experiment_id
    union all
    select experiment_id, max(created_at) as at from assignments_mv group by experiment_id
    union all
    select experiment_id, updated_at as at from experiment_definitions
)
group by experiment_id
