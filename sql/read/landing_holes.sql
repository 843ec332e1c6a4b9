-- landing_holes.sql (ClickHouse): offsets of one partition that did not land
-- Grain:  hole, the first ones; parameters as in landed_offsets, most
select first, last
from (
    select toInt64(offset) - 1 as last,
           lagInFrame(toInt64(offset), 1, toInt64({begin:UInt64}) - 1) over (order by offset rows between 1 preceding and current row) + 1 as first
    from (
        select distinct offset
        from landing_rows
        where topic = {topic:String} and partition = {p:UInt32} and offset >= {begin:UInt64} and offset < {end:UInt64}
          and kafka_timestamp >= {born:DateTime64(3, 'UTC')}
        union distinct
        select {end:UInt64} as offset
    )
)
where first <= last
order by first
limit {most:UInt32}
