-- metric_terms: what each metric measures, and until when
insert into metric_terms (experiment_id, position, metric, kind, event_type, direction, role, definition, cap, cap_percentile,
                          ignore_zeros, quantile, of_events, steps, to_seconds, started_at, until)
select r.experiment_id as experiment_id, r.position as position, r.metric as metric, r.kind as kind, r.event_type as event_type,
       r.direction as direction, r.role as role, r.definition as definition, r.cap as cap, r.cap_percentile as cap_percentile, r.ignore_zeros as ignore_zeros,
       r.quantile as quantile, r.of_events as of_events, r.steps as steps, r.to_seconds as to_seconds, d.started_at as started_at,
       least(c.cutoff_at, ifNull(d.stopped_at, c.cutoff_at)) as until
from (select * from metric_rules where part = 0) as r
inner join experiment_definitions as d on d.experiment_id = r.experiment_id
inner join experiment_cutoffs as c on c.experiment_id = r.experiment_id
