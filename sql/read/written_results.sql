-- written_results.sql (ClickHouse): what results already say at the cut-offs of experiment_cutoffs
-- Grain:  experiment × metric × variant
select experiment_id, metric, variant_id, users, sum
from experiment_results
where (experiment_id, cutoff_at) in (select experiment_id, cutoff_at from experiment_cutoffs)
