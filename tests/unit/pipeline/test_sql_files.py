"""SQL files: how they are cut into statements, filled in, and told apart by whether they may be applied again."""

import pytest

from neonblue_pipeline.errors import ChangedFile, SchemaError
from neonblue_pipeline.ledger import KAFKA_TABLE, TAP, pending
from neonblue_pipeline.settings import Settings
from neonblue_pipeline.sqlfiles import SqlFile, sql_files

SETTINGS = Settings(
    postgres_url="postgresql://u:p@localhost/experiments",
    clickhouse_url="http://u:p@localhost",
    kafka_bootstrap="localhost:1",
    connect_url="http://localhost",
)


def test_a_statement_ends_only_with_a_semicolon_at_the_end_of_a_line() -> None:
    file = SqlFile("clickhouse/1.sql", "-- head; not a statement\nselect ';' as a;\n\nselect 2; -- still\n  from b;\n")
    assert file.statements == ["select ';' as a", "select 2; -- still\n  from b"]


def test_a_file_that_creates_a_table_may_not_be_applied_again_and_one_that_replaces_may() -> None:
    assert not SqlFile("postgres/1.sql", "create table if not exists t (a int);\n").repeatable
    assert not SqlFile("postgres/1.sql", "create or replace view v as select 1;\ncreate table t (a int);\n").repeatable
    assert SqlFile("postgres/1.sql", "create or replace view v as select 1;\n").repeatable
    assert SqlFile("clickhouse/1.sql", "-- Apply:  again\ndrop view v;\n\ncreate view v as select 1;\n").repeatable


def test_an_unknown_variable_is_named_with_its_file() -> None:
    with pytest.raises(SchemaError, match=r"sql/clickhouse/1\.sql: \$\{topik\} is not one of topic"):
        SqlFile("clickhouse/1.sql", "select '${topik}';\n").rendered({"topic": "t"})


def test_every_file_of_the_project_can_be_filled_in_and_has_statements() -> None:
    for file in sql_files("clickhouse"):
        rendered = file.rendered(SETTINGS.sql_variables)
        assert "${" not in rendered.text
        assert rendered.statements
    assert all(file.statements for file in sql_files("postgres"))


def test_what_is_applied_with_its_checksum_is_not_pending() -> None:
    files = sql_files("postgres")
    assert pending(files, {file.name: file.checksum for file in files}) == []
    assert pending(files, {}) == list(files)


def test_a_changed_table_file_is_an_error_that_names_it_and_the_way_out() -> None:
    file = SqlFile("postgres/040_events.sql", "create table events (id int);\n")
    with pytest.raises(ChangedFile, match=r"sql/postgres/040_events\.sql was changed .* --adopt postgres/040_ev"):
        pending([file], {file.name: "an older checksum"})


def test_a_changed_view_behind_the_tap_brings_the_whole_chain_in_again_and_no_table() -> None:
    files = sql_files("clickhouse")
    applied = {file.name: file.checksum for file in files} | {"clickhouse/141_assignments_views.sql": "older"}
    todo = [file.name for file in pending(files, applied)]
    assert todo[0] == KAFKA_TABLE
    assert todo[-1] == TAP
    assert "clickhouse/161_dead_letters_views.sql" in todo
    assert "clickhouse/130_events.sql" not in todo
