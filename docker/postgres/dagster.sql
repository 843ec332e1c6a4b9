-- dagster.sql: Dagster keeps its runs in a database of its own beside the facts
create database dagster;
