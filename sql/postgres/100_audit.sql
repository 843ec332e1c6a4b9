-- 100_audit.sql (PostgreSQL): who did what and when, chained by hashes so that nothing of it changes unnoticed
-- Grain:  audit_log: one row per change of a definition, an assignment or a token, per export and per erasure
-- From:   neonblue_api, neonblue_pipeline: by record_audit, as the last statement of the transaction that it tells of
-- To:     /v1/audit, /v1/changes, `neonblue audit`
-- Time:   our clock, UTC
-- Rerun:  safe; creates what is missing, replaces the functions, takes over the table `changes` of earlier versions
-- Apply:  again
--
-- Hashes, computed here and recomputed by neonblue_pipeline/audit.py; a field is written as its length in bytes, ':' and its
-- text, or as '-' where it is null, and fields are separated by ',':
--   content_sha256 = sha256(salt, subject, before, after)
--   entry_sha256   = sha256(entry_sha256 of the entry before, number, at, actor, actor_id, request_id, action, subject_type,
--                           content_sha256)
-- What tells of a person may be blanked without breaking the chain: its hash stays, the salt that would allow to guess it
-- goes, and an entry of its own names what was blanked.
create table if not exists audit_log (
    number         bigint      primary key,          -- 1, 2, 3 … without a gap
    at             timestamptz not null,
    actor          text        not null,             -- name of the token, 'bootstrap', or 'command of <user>'
    actor_id       bigint,                           -- api_tokens.token_id; null: no token of that table
    request_id     text,
    action         text        not null,             -- 'create', 'start', 'revoke', 'export', 'erase', ...
    subject_type   text        not null,             -- 'experiment', 'metric', 'token', 'user', ...
    subject        text,                             -- its key; null: none, or blanked
    before         jsonb,                            -- as in replies; null: it did not exist, or the action says it
    after          jsonb,
    salt           bytea,                            -- null: blanked
    content_sha256 bytea       not null,
    entry_sha256   bytea       not null unique
);
create index if not exists audit_log_of_a_subject on audit_log (subject_type, subject, number desc);
create index if not exists audit_log_of_a_request on audit_log (request_id);

create or replace function audit_digest(variadic fields text[]) returns bytea
language sql immutable parallel safe as $$
    select sha256(convert_to(string_agg(coalesce(octet_length(field) || ':' || field, '-'), ',' order by n), 'UTF8'))
    from unnest(fields) with ordinality as f (field, n)
$$;

-- Whoever inserts, the number, the salt and the hashes are made here; `at` is kept only for rows of the table `changes`.
create or replace function chain_audit_entry() returns trigger
language plpgsql as $$
declare
    last audit_log;
begin
    -- Until the transaction ends: the next entry is chained to this one or, if it is rolled back, to the one before it.
    perform pg_advisory_xact_lock(hashtext('neonblue audit'));
    select * into last from audit_log order by number desc limit 1;
    new.number := coalesce(last.number, 0) + 1;
    new.at := coalesce(new.at, clock_timestamp());
    new.salt := uuid_send(gen_random_uuid());
    new.content_sha256 := audit_digest(encode(new.salt, 'hex'), new.subject, new.before::text, new.after::text);
    new.entry_sha256 := audit_digest(
        encode(last.entry_sha256, 'hex'), new.number::text, utc_text(new.at), new.actor, new.actor_id::text, new.request_id,
        new.action, new.subject_type, encode(new.content_sha256, 'hex'));
    return new;
end $$;

create or replace function keep_audit_entry() returns trigger
language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if to_jsonb(new) = to_jsonb(old) || '{"subject": null, "before": null, "after": null, "salt": null}' then
            return new;
        end if;
    end if;
    raise exception 'audit_log: entries are never changed or deleted'
        using errcode = 'insufficient_privilege', hint = 'record what happened as a new entry (record_audit)';
end $$;

create or replace trigger chain_entry before insert on audit_log
    for each row execute function chain_audit_entry();
create or replace trigger keep_entry before update or delete on audit_log
    for each row execute function keep_audit_entry();
create or replace trigger keep_entries before truncate on audit_log
    for each statement execute function keep_audit_entry();

-- The owner, too: of an update only the blanking is left, which the trigger holds to that.
revoke all on audit_log from public;
revoke update, delete, truncate on audit_log from current_user;
grant update (subject, before, after, salt) on audit_log to current_user;

-- Returns the entry's number. Security definer: a role that may not write to the table records by this function.
create or replace function record_audit(
    actor text, action text, subject_type text, subject text, before jsonb, after jsonb, request_id text,
    actor_id bigint default null
) returns bigint
language sql security definer set search_path = public, pg_temp as $$
    insert into audit_log (actor, action, subject_type, subject, before, after, request_id, actor_id)
    values (actor, action, subject_type, subject, before, after, request_id, actor_id)
    returning number
$$;

-- Blanks every entry that tells of the person: of subject_type 'user' with the user_id as subject, and of 'assignment' with
-- 'experiment_key/user_id'. Returns how many; one more entry, without the person, names them. Again, it finds nothing.
create or replace function blank_audit(of_user text, by_actor text, by_request_id text, by_actor_id bigint default null)
returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    blanked bigint[];
begin
    with found as (
        update audit_log set subject = null, before = null, after = null, salt = null
        where subject_type = 'user' and subject = of_user
           or subject_type = 'assignment' and substr(subject, strpos(subject, '/') + 1) = of_user
        returning number
    )
    select array_agg(number order by number) into blanked from found;
    if blanked is null then
        return 0;
    end if;
    perform record_audit(by_actor, 'blank', 'audit', null, null, jsonb_build_object('entries', blanked), by_request_id,
                         by_actor_id);
    return cardinality(blanked);
end $$;

-- Who writes entries may write what he likes: a role of its own for the API is granted this by name.
revoke execute on function record_audit, blank_audit from public;

-- Earlier versions kept changes of definitions in a table of their own.
do $$
begin
    if exists (select from pg_class where oid = to_regclass('changes') and relkind = 'r') then
        lock table changes in access exclusive mode;
        insert into audit_log (at, actor, request_id, action, subject_type, subject, before, after)
        select changed_at, changed_by, request_id, action, object_type, object_key, before, after
        from changes order by change_id;
        drop table changes;
    end if;
end $$;

-- Processes of earlier versions, while an upgrade replaces them one by one, go on writing there: into the log.
create or replace view changes as
select number as change_id, at as changed_at, actor as changed_by, request_id, subject_type as object_type,
       subject as object_key, action, before, after
from audit_log;
