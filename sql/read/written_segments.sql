-- written_segments.sql (ClickHouse): the segments that results by dimension already have at the cut-offs of experiment_cutoffs
-- Grain:  experiment × dimension × segment; of the experiments {experiments}
select distinct experiment_id, dimension, segment
from experiment_segments_rows
where experiment_id in {experiments:Array(UInt64)} and (experiment_id, cutoff_at) in (select experiment_id, cutoff_at from experiment_cutoffs)
