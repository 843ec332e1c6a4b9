-- What of PostgreSQL does not fit, a row each: what was looked at, what was found, the remedy, and whether nothing works
-- without it. %(slot)s is the connector's replication slot, null where that does not matter to who asks;
-- %(least_version)s another oldest server_version_num than ours, null for ours.
with rule as (select coalesce(%(least_version)s::int, 180000) as least_version), slots as (
    select count(*) as all_of_them,
           count(*) filter (where slot_name = %(slot)s) as ours,
           count(*) filter (where slot_name = %(slot)s and active) as ours_read
    from pg_replication_slots
)
select 'version' as what, current_setting('server_version') as found,
       'it must be ' || least_version / 10000 || ' or newer: upgrade the server, or name another' as remedy, true as needed
from rule where current_setting('server_version_num')::int < least_version
union all
select 'content', 'incomplete', underway.told, true
from (select obj_description(to_regclass('public.restore_underway'), 'pg_class') as told) underway where underway.told is not null
union all
select 'wal_level', current_setting('wal_level'),
       'it must be logical: set wal_level = logical in postgresql.conf and restart PostgreSQL', true
where current_setting('wal_level') <> 'logical'
union all
select 'max_replication_slots', current_setting('max_replication_slots') || ', all in use',
       'the connector needs one: raise it in postgresql.conf and restart, or drop a slot that nobody needs', true
from slots
where %(slot)s::text is not null and ours = 0 and all_of_them >= current_setting('max_replication_slots')::int
union all
select 'max_wal_senders', current_setting('max_wal_senders') || ', all in use',
       'the connector needs one: raise it in postgresql.conf and restart PostgreSQL', true
from slots
where %(slot)s::text is not null and ours_read = 0
  and (select count(*) from pg_stat_replication) >= current_setting('max_wal_senders')::int
union all
select 'role ' || current_user, 'it may not replicate',
       format('the connector reads as this role: alter role %%I replication', current_user), true
where not exists (
    select from pg_roles r where (r.rolname = current_user and (r.rolreplication or r.rolsuper))
       or (r.rolname = 'rds_replication' and pg_has_role(current_user, r.oid, 'member')))
union all
select 'encoding', getdatabaseencoding()::text, 'it must be UTF8: create the database anew with encoding UTF8', true
where getdatabaseencoding() <> 'UTF8'
union all
select name, setting, 'an event that was answered with 202 can be lost: set ' || name || ' = on', false
from pg_settings where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off'
union all
select 'max_slot_wal_keep_size', 'unlimited',
       'a connector that stays away fills the disk: set it to what the disk can spare, such as 8GB, and reload', false
where current_setting('max_slot_wal_keep_size') = '-1'
