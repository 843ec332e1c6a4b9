-- rollups_built.sql (ClickHouse): when rows of each rollup were written last
-- Grain:  rollup that holds rows; parameter tables. A build without changed days writes none; a merge counts as a write.
select table as rollup, max(modification_time) as built_at
from system.parts
where database = currentDatabase() and active and table in {tables:Array(String)}
group by table
order by table
