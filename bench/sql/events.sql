-- events.sql: events {first} to {first} + {count} of the day that begins at {day}, naming no experiment: half of them of all users alike, half by rank^-1
insert into incoming_events (topic, partition, offset, outbox_id, payload, reason, id, user_id, event_type, timestamp, properties,
                             session_id, created_at, derived, kafka_timestamp)
with if(number % 2 = 0, intDiv(number, 2) % {users:UInt64}, toUInt64(pow({users:UInt64}, randCanonical(1))) - 1) as user,
     ['page_view', 'page_view', 'page_view', 'page_view', 'page_view', 'click', 'click', 'click', 'exposure', 'conversion'][rand(2) % 10 + 1]
         as type,
     {day:DateTime64(6, 'UTC')} + toIntervalMicrosecond(rand64(3) % 86400000000) as at,
     concat('/shoes/', toString(rand(4) % 20000)) as page,
     if(type = 'conversion', round(exp(3 + 2 * randCanonical(5)), 2), null) as value
select {topic:String}, 0, 0, number + 1, '', '', generateUUIDv4(), concat('u-', leftPad(toString(user), 10, '0')), type, at,
       concat('{"page": "', page, '", "device": "mobile", "browser": "Safari"',
              if(value is null, '', concat(', "value": ', ifNull(toString(value), ''))), '}'),
       toString(generateUUIDv4(6)), at, (page, 'mobile', 'Safari', value, null), now64(3)
from numbers({first:UInt64}, {count:UInt64})
