-- metric_terms: what each metric measures, and of users who began until when
insert into metric_terms (experiment_id, position, metric, kind, event_type, direction, role, definition, cap, cap_percentile,
                          ignore_zeros, quantile, of_events, steps, counted, to_seconds, started_at, ripe_until)
select r.experiment_id as experiment_id, r.position as position, r.metric as metric, r.kind as kind, r.event_type as event_type,
       r.direction as direction, r.role as role, r.definition as definition, r.cap as cap, r.cap_percentile as cap_percentile, r.ignore_zeros as ignore_zeros,
       r.quantile as quantile, r.of_events as of_events, r.steps as steps,
       r.kind in ('proportion', 'retention', 'funnel') as counted, r.to_seconds as to_seconds,
       d.started_at as started_at,
       if(to_seconds is null, toDateTime64('2299-12-31 23:59:59', 6, 'UTC'),
          least(c.cutoff_at, ifNull(d.stopped_at, c.cutoff_at)) - toIntervalSecond(assumeNotNull(to_seconds))) as ripe_until
from (select * from metric_rules where part = 0) as r
inner join experiment_definitions as d on d.experiment_id = r.experiment_id
inner join experiment_cutoffs as c on c.experiment_id = r.experiment_id
