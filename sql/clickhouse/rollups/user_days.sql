-- user_days: on what each user came on each of the days {days}, and how many of the events have a doubtful clock
-- The first by one number, time before id: as a pair they take twice as long.
insert into user_days_staging (day, user_id, device, browser, events, late_events, ahead_events, early_of)
with bitShiftLeft(toInt128(toUnixTimestamp64Micro(timestamp)), 64) + cityHash64(id) as turn
select event_date, user_id,
       argMinIf(ifNull(toString(device), ''), turn, ifNull(toString(device), '') != ''),
       argMinIf(ifNull(toString(browser), ''), turn, ifNull(toString(browser), '') != ''),
       count(), countIf(created_at > timestamp + toIntervalDay(1)), countIf(timestamp > created_at + toIntervalMinute(1)),
       arraySort(groupArrayIf(assumeNotNull(experiment_id), experiment_id is not null and ifNull(timestamp < assignment_at, false)))
from events_processed
where event_date in {days:Array(Date32)}
group by event_date, user_id
