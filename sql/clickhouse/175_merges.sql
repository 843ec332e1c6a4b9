-- 175_merges.sql (ClickHouse): how many small parts wait for each other before they are merged
-- Grain:  settings of the tables that get a part with every block of the stream
-- From:   120, 130, 140, 142, 170        To: merges from now on
-- Rerun:  safe
-- A part is merged when what lies beside it is at least so many times its size (5 without this). At 100 events a second 4 to 6 blocks
-- arrive a second: by 5 the large part is taken along again and again, 250,000 rows a second are merged for 100 that are new.
alter table landing_rows modify setting merge_selector_base = 10;

alter table events_rows modify setting merge_selector_base = 10;

alter table assignments_rows modify setting merge_selector_base = 10;

alter table variant_sightings modify setting merge_selector_base = 10;

alter table dirty_days modify setting merge_selector_base = 10;

alter table dirty_assignments modify setting merge_selector_base = 10;
