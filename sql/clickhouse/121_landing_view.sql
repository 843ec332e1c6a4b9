-- 121_landing_view.sql (ClickHouse): every message once, however often it was delivered
-- Grain:  one row per message
-- From:   120_landing                    To: readers
-- Rerun:  replaces the view
create or replace view landing as
select * from landing_rows final;
