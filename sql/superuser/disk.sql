-- disk.sql (PostgreSQL, as a superuser, in the database of the facts): the free space of PostgreSQL's own disk
-- Grain:  one row: bytes that may still be written where the data and the write-ahead log are, the smaller of the two
-- To:     free_disk_bytes() in sql/postgres/097, by which intake refuses before PostgreSQL stops
-- Rerun:  safe; creates what is missing
-- PostgreSQL has no function for this. Its processes work in the data folder, so df tells it wherever PostgreSQL runs.
-- Only a superuser can say which program is run; others may read what it answers.
create schema if not exists neonblue_disk;

create extension if not exists file_fdw schema neonblue_disk;

create server if not exists neonblue_disk foreign data wrapper file_fdw;

create foreign table if not exists neonblue_disk.df (line text) server neonblue_disk
    options (program 'df -Pk . pg_wal/.', format 'text', delimiter E'\x01');

create or replace view neonblue_disk.free as
select min(substring(line from '([0-9]+)\s+[0-9]+%')::bigint) * 1024 as free_bytes from neonblue_disk.df;

grant usage on schema neonblue_disk to public;

grant select on neonblue_disk.free to public;
