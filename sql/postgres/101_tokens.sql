-- 101_tokens.sql (PostgreSQL): scopes, and which token takes the place of which
-- From:   neonblue_api (routes/tokens.py)
-- Rerun:  safe
-- Apply:  again
alter table api_tokens drop constraint if exists api_tokens_scopes_check;
alter table api_tokens add constraint api_tokens_scopes_check
    check (scopes <@ array['ingest', 'read', 'manage', 'audit']);
alter table api_tokens add column if not exists replaces bigint references api_tokens;
