-- 042_events_of_user.sql (PostgreSQL): a person's events, found by the person alone
-- Grain:  an index per partition of events
-- To:     privacy (the person's data, 062), 082
-- Rerun:  safe; the index is made once
-- With the time in it every entry was different, and each event paid a page of its own; equal ones share an entry. Where a database
-- holds events already, this reads all of them, and writers wait meanwhile.
drop index if exists events_by_user;

create index if not exists events_of_user on events (user_id);
