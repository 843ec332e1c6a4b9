-- 064_known_event_ids.sql (PostgreSQL): the ids of all days that are over, in one place a month
-- Grain:  known_event_ids: one row per event of a day that is over; intake_days: one row, which says how far that goes
-- From:   the pipeline, once a day (event_ids)      To: 070, which looks an id up here
-- Time:   received_on is the UTC day of acceptance
-- Rerun:  safe; creates what is missing, replaces the functions
-- Apply:  again
--
-- An id is stored once, whenever it comes again, and the unique index of a day knows only the ids of that day. Without this table
-- each event would be looked up in the partition of every day that is kept: 271 µs an event after 120 days, against 52 after one.
create table if not exists known_event_ids (
    event_id     uuid        not null,
    received_on  date        not null
) partition by range (received_on);
create index if not exists known_event_ids_by_id on known_event_ids (event_id);

create table if not exists intake_days (
    one          boolean     primary key default true check (one),
    known_until  date        not null default '-infinity',   -- the ids of this day and of all before are in known_event_ids
    newest       date        not null default '-infinity'    -- the latest day on which a writer of events was at work
);
insert into intake_days default values on conflict do nothing;

-- Apart from the next function, as writers of events wait for its transaction.
create or replace function ensure_known_ids_month(of_day date) returns void
language plpgsql as $$
declare
    month date := date_trunc('month', of_day);
begin
    execute format('create table if not exists %I partition of known_event_ids for values from (%L) to (%L)',
                   'known_event_ids_' || to_char(month, '"p"YYYYMM'), month, (month + interval '1 month')::date);
end $$;

-- Takes the ids of one day over; returns how many. The days are to be taken in their order.
create or replace function remember_event_ids(of_day date) returns bigint
language plpgsql as $$
declare
    intake_lock constant int := hashtext('neonblue intake day');
    taken bigint;
begin
    -- Not the row itself, which the first writer of a day changes.
    perform pg_advisory_xact_lock(hashtext('neonblue known event ids'));
    if of_day <= (select known_until from intake_days) then
        return 0;
    end if;
    -- A writer that began on that day may still be at work; as in begin_intake.
    perform pg_advisory_lock(intake_lock, of_day - date '2000-01-01');
    perform pg_advisory_unlock(intake_lock, of_day - date '2000-01-01');
    insert into known_event_ids (event_id, received_on)
    select event_id, received_on from events where received_on = of_day order by event_id;
    get diagnostics taken = row_count;
    update intake_days set known_until = of_day;
    return taken;
end $$;

-- Months of which PostgreSQL keeps no event any more. Returns how many were dropped.
create or replace function forget_event_ids_before(first_kept date) returns int
language plpgsql as $$
declare
    month   text;
    dropped int := 0;
begin
    for month in
        with partitions as materialized (
            select inhrelid::regclass::text as name from pg_inherits where inhparent = 'known_event_ids'::regclass
        )
        select name from partitions where to_date(right(name, 6), 'YYYYMM') + interval '1 month' <= first_kept
    loop
        execute format('drop table %I', month);
        dropped := dropped + 1;
    end loop;
    return dropped;
end $$;
