-- window_ids_clickhouse.sql (ClickHouse): the facts of some buckets
-- Grain:  id; parameters aggregate_type, buckets
select id, digest from ids where aggregate_type = {aggregate_type:String} and substring(lower(hex(MD5(id))), 1, 3) in {buckets:Array(String)}
