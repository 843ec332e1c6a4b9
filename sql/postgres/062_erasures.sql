-- 062_erasures.sql (PostgreSQL): who asked to be forgotten, and how far that is
-- Grain:  erasures: one row per person, for ever: by it later facts are refused, and a restored backup is erased again;
--         erasure_steps: one per erasure and step; erasure_users: one per erasure that is not over, and no longer
-- From:   neonblue_api (request_erasure)      To: 070, 080 (refuse facts), neonblue_pipeline (erasing), which does the steps
-- Time:   our clock, UTC
-- Rerun:  safe; creates what is missing, replaces the functions
-- Apply:  again
--
-- A person is known here only by the subject: HMAC-SHA256 of the user_id. The key (NEONBLUE_PRIVACY_KEY) is in no table: a session
-- that has to know people says it as its setting neonblue.privacy_key.
create table if not exists erasures (
    erasure_id   bigint      generated always as identity primary key,
    subject      bytea       not null unique check (octet_length(subject) = 32),
    key_name     text        not null,               -- a hash of the key: tells another key from this one
    requested_at timestamptz not null,
    requested_by text        not null,               -- name of the token
    request_id   text,
    finished_at  timestamptz                         -- null while any store may still hold a byte
);
create index if not exists erasures_by_key on erasures (key_name);
create index if not exists erasures_open on erasures (erasure_id) where finished_at is null;

create table if not exists erasure_steps (
    erasure_id   bigint      not null references erasures,
    step         text        not null,
    done_at      timestamptz not null default clock_timestamp(),
    found        jsonb       not null default '{}',  -- counts; days and tables that later steps have to look at
    primary key (erasure_id, step)
);

create table if not exists erasure_users (
    erasure_id   bigint      primary key references erasures,
    user_id      text        not null
);

-- The session's key, mixed with the pads of HMAC (RFC 2104): inner, then outer, 64 bytes each; made once a session.
create or replace function subject_pads() returns bytea
language plpgsql as $$
declare
    known text := current_setting('neonblue.subject_pads', true);
    key   bytea := convert_to(coalesce(current_setting('neonblue.privacy_key', true), ''), 'UTF8');
    pads  bytea := decode(repeat('36', 64) || repeat('5c', 64), 'hex');
begin
    if coalesce(known, '') <> '' then
        return decode(known, 'hex');
    end if;
    if length(key) not between 32 and 64 then
        raise exception 'people are known here by a keyed hash, and this session has no key of 32 to 64 bytes'
            using hint = 'set NEONBLUE_PRIVACY_KEY, to the value that it had before', errcode = 'object_not_in_prerequisite_state';
    end if;
    for n in 0 .. length(key) - 1 loop
        pads := set_byte(pads, n, get_byte(key, n) # 54);
        pads := set_byte(pads, n + 64, get_byte(key, n) # 92);
    end loop;
    perform set_config('neonblue.subject_pads', encode(pads, 'hex'), false);
    return pads;
end $$;

create or replace function user_subject(user_id text, pads bytea) returns bytea
language sql stable parallel safe as
$$ select sha256(substr(pads, 65, 64) || sha256(substr(pads, 1, 64) || convert_to(user_id, 'UTF8'))) $$;

-- By its name a key is told from another. No user_id is longer than 256 characters.
create or replace function subject_key_name(pads bytea) returns text
language sql stable as
$$ select left(encode(user_subject(repeat('key name ', 32), pads), 'hex'), 16) $$;

-- For intake: null while nobody was ever erased; else the pads. Raises where erasures were made with another key.
create or replace function pads_if_needed() returns bytea
language plpgsql as $$
declare
    pads bytea;
    mine text;
begin
    if not exists (select from erasures) then
        return null;
    end if;
    pads := subject_pads();
    mine := subject_key_name(pads);
    if exists (select from erasures where key_name < mine) or exists (select from erasures where key_name > mine) then
        raise exception 'people were erased here with another NEONBLUE_PRIVACY_KEY: they would not be known again'
            using hint = 'set it to the value that it had when they were erased', errcode = 'object_not_in_prerequisite_state';
    end if;
    return pads;
end $$;

create or replace function is_erased(of_user text) returns boolean
language plpgsql as $$
declare
    pads bytea := pads_if_needed();
begin
    return pads is not null and exists (select from erasures where subject = user_subject(of_user, pads));
end $$;

-- Known from now on: facts of this person are refused by every writer that begins after the commit. The same person again
-- is the same erasure; one that is over is opened again with `again`, as after a restore.
create or replace function request_erasure(of_user text, by_name text, by_request text, again boolean default false) returns bigint
language plpgsql as $$
declare
    pads   bytea := coalesce(pads_if_needed(), subject_pads());
    who    bytea := user_subject(of_user, pads);
    number bigint;
begin
    insert into erasures (subject, key_name, requested_at, requested_by, request_id)
    values (who, subject_key_name(pads), clock_timestamp(), by_name, by_request)
    on conflict (subject) do nothing returning erasure_id into number;
    if number is null then
        select erasure_id into number from erasures where subject = who and (finished_at is null or again) for update;
        if number is null then
            return (select erasure_id from erasures where subject = who);
        end if;
        if exists (select from erasure_users where erasure_id = number) then
            return number;
        end if;
        update erasures set finished_at = null where erasure_id = number;
        delete from erasure_steps where erasure_id = number;
    end if;
    insert into erasure_users (erasure_id, user_id) values (number, of_user);
    return number;
end $$;

-- The first step, in one transaction: who the facts are about is known by index. It waits for writers at work, and new ones wait
-- for it, so that nothing of the person is accepted after it. Returns the day partitions of events and the minutes of acceptance in which there was anything.
create or replace function erase_facts(of_user text) returns jsonb
language plpgsql as $$
declare
    moment      timestamptz := begin_intake_alone();
    tables      text[];
    event_times timestamptz[];
    held_times  timestamptz[];
begin
    delete from users where user_id = of_user;
    with gone as (delete from assignments where user_id = of_user returning date_trunc('minute', created_at) as at)
    select array_agg(distinct at) into held_times from gone;
    with gone as (
        delete from events where user_id = of_user
        returning event_id, tableoid::regclass::text as part, date_trunc('minute', created_at) as at
    ),
    forgotten as (delete from known_event_ids k using gone g where k.event_id = g.event_id)
    select array_agg(distinct part), array_agg(distinct at) into tables, event_times from gone;
    return jsonb_build_object(
        'tables', coalesce(tables, '{}'),
        'minutes', jsonb_build_object('event', coalesce(event_times, '{}'), 'assignment', coalesce(held_times, '{}')));
end $$;

-- The second, which reads the whole outbox, and keeps nobody waiting meanwhile.
create or replace function erase_outbox(of_user text) returns jsonb
language plpgsql as $$
declare
    tables text[];
begin
    with gone as (delete from outbox_log where partition_key = of_user and aggregate_type <> 'experiment'
                  returning tableoid::regclass::text as part)
    select array_agg(distinct part) into tables from gone;
    return jsonb_build_object('tables', coalesce(tables, '{}'));
end $$;
