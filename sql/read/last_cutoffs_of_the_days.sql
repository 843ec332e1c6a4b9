-- last_cutoffs_of_the_days.sql (ClickHouse): the cut-offs that are kept for good
-- Grain:  experiment × UTC day
select experiment_id, max(cutoff_at) from experiment_quality_rows group by experiment_id, toDate32(cutoff_at)
