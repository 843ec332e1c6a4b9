-- landed_offsets.sql (ClickHouse): how many messages of one partition landed
-- Grain:  one row; parameters topic, p (partition), begin, end (offsets), born (broker's time of the first message that is kept:
--         a recreated topic starts again at offset 0)
select uniqExact(offset) as landed
from landing_rows
where topic = {topic:String} and partition = {p:UInt32} and offset >= {begin:UInt64} and offset < {end:UInt64}
  and kafka_timestamp >= {born:DateTime64(3, 'UTC')}
