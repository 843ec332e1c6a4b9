-- landed_times.sql (ClickHouse): the broker's times of what landed of a few offsets of one partition
-- Grain:  offset × broker's time; parameters topic, p (partition), first, last (offsets, both included)
select distinct offset, kafka_timestamp
from landing_rows
where topic = {topic:String} and partition = {p:UInt32} and offset >= {first:UInt64} and offset <= {last:UInt64}
