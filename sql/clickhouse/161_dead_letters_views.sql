-- 161_dead_letters_views.sql (ClickHouse): why a message could not be read
-- Grain:  dead_letters: one row per message
-- From:   landing_others, incoming_*     To: dead_letters
-- Rerun:  replaces the views, with the stream stopped meanwhile
-- Apply:  again
drop view if exists dead_letters_from_landing;

create materialized view dead_letters_from_landing to dead_letters_rows as
select topic, partition, offset, kafka_timestamp, reason, raw from landing_others where reason != '';

drop view if exists dead_letters_from_events;

create materialized view dead_letters_from_events to dead_letters_rows as
select topic, partition, offset, kafka_timestamp, concat('event: ', any(incoming_events.reason)) as reason,
       -- Of the events that one message tells of, those that could not be read; the others are stored.
       if(count() = 1, any(payload), concat('[', arrayStringConcat(groupArray(payload), ', '), ']')) as raw
from incoming_events where incoming_events.reason != ''
group by topic, partition, offset, kafka_timestamp;

drop view if exists dead_letters_from_assignments;

create materialized view dead_letters_from_assignments to dead_letters_rows as
select topic, partition, offset, kafka_timestamp, concat('assignment: ', reason) as reason, payload as raw
from incoming_assignments where incoming_assignments.reason != '';

drop view if exists dead_letters_from_experiments;

create materialized view dead_letters_from_experiments to dead_letters_rows as
select topic, partition, offset, kafka_timestamp, concat('experiment: ', reason) as reason, payload as raw
from incoming_experiments where incoming_experiments.reason != '';

create or replace view dead_letters as
select topic, partition, offset, kafka_timestamp, reason, raw, received_at from dead_letters_rows final;
