-- 096_replay_text.sql (PostgreSQL): rows that are sent again are sent to the letter
-- Grain:  as 095
-- From:   outbox_log, whose payloads are text since 054     To: Debezium
-- Rerun:  safe; the table is empty but for the length of a transaction
alter table outbox_replay alter column payload type json using payload::json;
