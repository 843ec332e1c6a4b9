-- experiment_cutoffs: acceptance of the last fact of each experiment whose results are made
-- The engine asks the condition before it groups: of journeys it reads those of these experiments alone.
insert into experiment_cutoffs (experiment_id, cutoff_at)
select experiment_id, max(at) as cutoff_at
from (
    select experiment_id, max(last_accepted_at) as at from user_journeys group by experiment_id
    union all
    select experiment_id, max(created_at) as at from assignments_mv group by experiment_id
    union all
    select experiment_id, updated_at as at from experiment_definitions
    union all
    -- Never back: where a fact was taken away, results at an earlier cut-off would be written, and nobody would read them.
    select experiment_id, max(cutoff_at) as at from experiment_quality_rows group by experiment_id
)
where experiment_id in (select experiment_id from changed_experiments)
group by experiment_id
