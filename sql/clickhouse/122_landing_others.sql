-- 122_landing_others.sql (ClickHouse): what is no event, passed on together
-- Grain:  landing_others passes one row per message on and keeps none
-- From:   landing_rows                   To: 141, 151, 161
-- Rerun:  makes the passing table anew, replaces the view, with the stream stopped meanwhile
-- Apply:  again
-- Nearly all messages are events, and every view has its statement analysed for each block, rows or none. Behind a view that
-- passes nothing on, nothing is analysed: a block of events takes a tenth less.
drop view if exists landing_others_from_landing;

drop table if exists landing_others;

create table landing_others as landing_rows engine = Null;

create materialized view landing_others_from_landing to landing_others as
select * from landing_rows where aggregate_type != 'event';
