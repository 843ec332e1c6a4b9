-- 060_partitions.sql (PostgreSQL): a partition a day for events and outbox_log
-- Grain:  events_pYYYYMMDD and outbox_log_pYYYYMMDD, UTC days
-- From:   the pipeline, days ahead; 070 and 080 where none was made in time
-- Rerun:  safe; creates what is missing, replaces the functions
-- Apply:  again
create or replace function ensure_day_partitions(first_day date, days int) returns int
language plpgsql as $$
declare
    day     date;
    suffix  text;
    created int := 0;
begin
    for day in select first_day + n from generate_series(0, days - 1) as n loop
        suffix := to_char(day, '"p"YYYYMMDD');
        if to_regclass('events_' || suffix) is null or to_regclass('outbox_log_' || suffix) is null then
            -- Two writers may meet here on the first event of a day.
            perform pg_advisory_xact_lock(hashtext('neonblue day partitions'));
            execute format('create table if not exists %I partition of events for values from (%L) to (%L)',
                           'events_' || suffix, day, day + 1);
            -- A row of up to a page stays whole; of a larger one the payload is kept beside the table, not compressed.
            execute format('create table if not exists %I partition of outbox_log for values from (%L) to (%L) '
                           'with (toast_tuple_target = 8160)',
                           'outbox_log_' || suffix, day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC');
            created := created + 1;
        end if;
    end loop;
    return created;
end $$;

-- The UTC day that a writer may use, held until its transaction ends.
--
-- An id must stay unique over midnight, but a unique index cannot span partitions: each writer looks for its ids in the
-- other days instead. That look is only exact if no writer of the day before is still at work, so the first writers of a
-- day wait for those.
create or replace function begin_intake() returns timestamptz
language plpgsql as $$
declare
    intake_lock constant int := hashtext('neonblue intake day');
    today     date;
    moment    timestamptz;
begin
    loop
        today := (clock_timestamp() at time zone 'UTC')::date;
        perform pg_advisory_xact_lock_shared(intake_lock, today - date '2000-01-01');
        moment := clock_timestamp();
        exit when (moment at time zone 'UTC')::date = today;
    end loop;
    if (moment at time zone 'UTC')::time < '00:05' then
        perform pg_advisory_lock(intake_lock, today - 1 - date '2000-01-01');
        perform pg_advisory_unlock(intake_lock, today - 1 - date '2000-01-01');
    end if;
    if to_regclass('events_' || to_char(today, '"p"YYYYMMDD')) is null then
        perform ensure_day_partitions(today, 1);
    end if;
    return moment;
end $$;
