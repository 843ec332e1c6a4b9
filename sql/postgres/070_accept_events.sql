-- 070_accept_events.sql (PostgreSQL): the one way in for events
-- Grain:  one call per batch; the fact and its outbox row in one statement
-- From:   neonblue_api                To: events, outbox_log
-- Rerun:  safe; a batch sent again stores nothing and is told what was stored before
-- Apply:  again
--
-- batch: array of {"id", "user_id", "event_type", "timestamp" | null, "experiment" | null, "properties" (object),
--        "session_id" | null, "request_id" | null, and perhaps "running_session", which stands for a session_id that is null
--        and is no part of what the client said}; ids are distinct within a call (the API splits repeats into a
--        second call). timestamp null means now.
-- gathered: what the batch tells of one user goes in one outbox row, cut after 7,000 bytes; else each event has its own. The API
--        of a version that knows the parameter starts when ClickHouse reads such rows, one from before does not ask for them.
-- Returns one row for each event that was not accepted: its position from 0 and
--        'duplicate' (same id, same body) · 'conflict' (same id, another body) · 'unknown_experiment' · 'not_assigned' ·
--        'erased' (the user was, 062).
--        An id is known for as long as its day is kept, and to the end of its month; how, is said in 064.
-- Both the payload's shape and the meaning of the columns are in docs/contracts.md.
create or replace function utc_text(moment timestamptz) returns text
language sql stable parallel safe as
$$ select to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;

create or replace function event_body_hash(event jsonb) returns bigint
language sql immutable parallel safe as
$$ select jsonb_hash_extended(event - array['id', 'request_id', 'running_session'], 0) $$;

drop function if exists accept_events(jsonb);   -- from before `gathered`: two of one name would be ambiguous

create or replace function accept_events(batch jsonb, gathered boolean default false)
returns table (event_position int, outcome text)
language plpgsql
set enable_seqscan = off   -- the plan is made once, often while a table is still empty: a look-up must not become a scan then
set jit = off
set plan_cache_mode = force_generic_plan   -- which days are looked at is known when it runs; planning takes longer than a batch
as $$
#variable_conflict use_column
declare
    received_at timestamptz := begin_intake();
    today       date := (received_at at time zone 'UTC')::date;
    received    text := utc_text(received_at);
    pads        bytea := pads_if_needed();
    known_until date;
    newest      date;
    accepted    uuid[];
    look_until  date;   -- days before it are looked through for the ids
    held        bigint;   -- how many of the ids are stored
    held_before bigint;   -- how many were at the end of the turn before
begin
    select d.known_until, d.newest into strict known_until, newest from intake_days d;
    if newest < today or known_until >= today then
        -- The first events of a day; or the clock was ahead, and days that are not over were taken for past.
        update intake_days d set newest = greatest(d.newest, today), known_until = least(d.known_until, today - 1)
        returning d.known_until, d.newest into known_until, newest;
    end if;
    -- Days that are not remembered yet: as a rule none. Later ones hold events only if the clock was ahead.
    look_until := case when newest > today then 'infinity'::date else today end;
    -- New ids are the rule: the day's index finds the others, which costs less than a look for each before it. The next
    -- turn leaves out what it found, a writer's row whose commit this one waited for included.
    loop
        begin
            with incoming as (
                select (e.ordinality - 1)::int as position,
                       (e.value ->> 'id')::uuid as event_id,
                       e.value ->> 'user_id' as user_id,
                       e.value ->> 'event_type' as event_type,
                       coalesce((e.value ->> 'timestamp')::timestamptz, received_at) as timestamp,
                       coalesce(e.value ->> 'timestamp', received) as timestamp_text,
                       e.value ->> 'experiment' as experiment_key,
                       e.value -> 'properties' as properties,
                       coalesce(e.value ->> 'session_id', e.value ->> 'running_session') as session_id,
                       e.value ->> 'request_id' as request_id,
                       event_body_hash(e.value) as body_hash
                from jsonb_array_elements(batch) with ordinality as e
                offset 0   -- so that each field is read once, wherever it is used
            ),
            resolved as materialized (
                select i.*, a.experiment_id, a.variant_id, a.variant_key, a.assignment_at
                from incoming i
                left join lateral (
                    select a.experiment_id, a.variant_id, v.key as variant_key, a.assigned_at as assignment_at
                    from experiments x join assignments a using (experiment_id) join variants v using (variant_id)
                    where x.key = i.experiment_key and a.user_id = i.user_id limit 1) a on true
                where (i.experiment_key is null or a.experiment_id is not null)
                  and not exists (select from known_event_ids k where k.event_id = i.event_id)
                  and not exists (select from events e
                                  where e.event_id = i.event_id and e.received_on > known_until and e.received_on < look_until)
                  and (pads is null or not exists (select from erasures where subject = user_subject(i.user_id, pads)))
            ),
            stored as (
                -- In the order of the ids, so that two writers of the same batch cannot lock each other out.
                insert into events (event_id, received_on, user_id, event_type, timestamp, experiment_id, variant_id, assignment_at,
                                    properties, session_id, request_id, body_hash, created_at)
                select event_id, today, user_id, event_type, timestamp, experiment_id, variant_id, assignment_at,
                       properties, session_id, request_id, body_hash, received_at
                from resolved order by event_id
                returning 1
            ),
            told as (
                select position, event_id, user_id,
                       -- Rows of about a page: of larger ones PostgreSQL keeps the payload in pieces.
                       case when gathered then sum(pg_column_size(properties) + 420) over (partition by user_id order by position) / 7000
                            else position end as portion,
                       -- json_build_object looks up how to write each field's type, for each row: half of its time.
                       concat(
                           '{"id":"', event_id, '","user_id":', json_scalar(user_id), ',"event_type":', json_scalar(event_type),
                           -- The API sends the form of the contract: writing a time costs more than looking at its text.
                           ',"timestamp":', json_scalar(case when timestamp_text like '____-__-__T__:__:__.______Z' then timestamp_text
                                                             else utc_text(timestamp) end),
                           ',"experiment_id":', coalesce(experiment_id::text, 'null'), ',"variant_id":', coalesce(variant_id::text, 'null'),
                           ',"variant_key":', coalesce(json_scalar(variant_key), 'null'),
                           ',"assignment_at":', coalesce(json_scalar(utc_text(assignment_at)), 'null'),
                           ',"properties":', json_scalar(properties::text), ',"session_id":', coalesce(json_scalar(session_id), 'null'),
                           ',"request_id":', coalesce(json_scalar(request_id), 'null'), ',"created_at":"', received, '"}') as event
                from resolved
            ),
            shipped as (
                -- Each row costs the log's reader, Connect and Kafka the same, whatever it tells.
                insert into outbox_log (aggregate_id, aggregate_type, event_type, partition_key, payload, created_at)
                select (array_agg(event_id order by position))[1]::text, 'event', 'EVENT_CREATED', user_id,
                       case count(*) when 1 then (array_agg(event))[1]
                                     else '[' || string_agg(event, E',\n' order by position) || ']' end::json, received_at
                from told
                where (select count(*) from stored) > 0   -- after the facts, of which a repeat ends the turn
                group by user_id, portion
                order by min(position)
            )
            select coalesce(array_agg(event_id), '{}') into accepted from resolved;
            exit;
        exception when unique_violation then
            if look_until > today then
                if current_setting('transaction_isolation') <> 'read committed' then
                    raise serialization_failure
                    using message = 'an event of the batch was stored by a transaction that this one cannot see: begin it again';
                end if;
                -- Every day was looked through: by now there is another writer's row, or the next turn would end as this one.
                select count(*) into held
                from jsonb_array_elements(batch) as e
                where exists (select from events where event_id = (e.value ->> 'id')::uuid and received_on > known_until);
                if held = held_before then
                    raise;   -- an id stands twice in the batch
                end if;
                held_before := held;
            end if;
            look_until := greatest(look_until, today + 1);
        end;
    end loop;

    if cardinality(accepted) = jsonb_array_length(batch) then
        return;
    end if;
    -- A second statement, because only a new snapshot sees the row of a concurrent writer that won.
    return query
    select (e.ordinality - 1)::int,
           case when pads is not null and exists (select from erasures where subject = user_subject(e.value ->> 'user_id', pads))
                then 'erased'
                when s.event_id is not null
                then case when s.body_hash = event_body_hash(e.value) then 'duplicate' else 'conflict' end
                when k.received_on is not null then 'duplicate'   -- its day was dropped
                when x.experiment_id is null then 'unknown_experiment'
                else 'not_assigned' end
    from jsonb_array_elements(batch) with ordinality as e
    left join lateral (select received_on from known_event_ids where event_id = (e.value ->> 'id')::uuid limit 1) k on true
    left join lateral (
        select event_id, body_hash from events
        where event_id = (e.value ->> 'id')::uuid and (received_on = k.received_on or received_on > known_until) limit 1) s on true
    left join experiments x on x.key = e.value ->> 'experiment'
    where (e.value ->> 'id')::uuid <> all (accepted)
    order by 1;
end $$;
