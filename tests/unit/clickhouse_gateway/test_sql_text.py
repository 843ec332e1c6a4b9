"""What a statement is: neonblue_local.clickhouse.sql_text."""

import pytest

from neonblue_local.clickhouse.errors import ClickHouseError
from neonblue_local.clickhouse.sql_text import Kind, parse


@pytest.mark.parametrize(
    ("sql", "data"),
    [
        (b"INSERT INTO t (a, b) FORMAT CSV\n1,x\n", b"1,x\n"),
        (b"insert into t format Native\n\x01\x02", b"\x01\x02"),
        (b"INSERT INTO t FORMAT TSV \r\n\t\n", b"\t\n"),
        (b"INSERT INTO t (`values`, format) VALUES (1, ';')", b" (1, ';')"),
        (b"-- a note; INSERT\nINSERT INTO db.format FORMAT JSONEachRow {}", b"{}"),
        (b"INSERT INTO t /* VALUES */ VALUES\xff\x00", b"\xff\x00"),
    ],
)
def test_an_inserts_data_begin_after_format_or_values(sql, data):
    statement = parse(sql)
    assert statement.kind is Kind.INSERT
    assert sql[statement.data_at :] == data


def test_an_inserts_settings_are_taken_out_of_its_text():
    statement = parse(b"INSERT INTO t (a) SETTINGS async_insert = 0 FORMAT CSV\n1")
    assert statement.text.strip() == b"INSERT INTO t (a)"
    assert statement.settings.strip() == b"SETTINGS async_insert = 0"
    assert statement.format == "CSV"


def test_semicolons_in_an_inserts_data_are_data():
    assert parse(b"INSERT INTO t FORMAT CSV\n1;2\n3;4").kind is Kind.INSERT


@pytest.mark.parametrize(
    ("sql", "text", "name", "settings"),
    [
        (b"SELECT 1", b"SELECT 1", None, b""),
        (b"SELECT 1 FORMAT JSON;", b"SELECT 1", "JSON", b""),
        (b"SELECT 1 FORMAT JSON SETTINGS max_threads = 1", b"SELECT 1", "JSON", b"SETTINGS max_threads = 1"),
        (b"SELECT format FROM t", b"SELECT format FROM t", None, b""),
        (b"SELECT 'FORMAT CSV'", b"SELECT 'FORMAT CSV'", None, b""),
        (b"WITH 1 AS x SELECT x -- FORMAT CSV", b"WITH 1 AS x SELECT x -- FORMAT CSV", None, b""),
        (b"(SELECT 1) UNION ALL (SELECT 2)\nFORMAT TSV", b"(SELECT 1) UNION ALL (SELECT 2)", "TSV", b""),
    ],
)
def test_a_selects_format_is_cut_off(sql, text, name, settings):
    statement = parse(sql)
    assert (statement.kind, statement.text.strip(), statement.format) == (Kind.SELECT, text, name)
    assert statement.settings.strip() == settings


@pytest.mark.parametrize(
    "sql",
    [
        b"INSERT INTO t SELECT 1 FORMAT CSV",
        b"WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
        b"CREATE TABLE t (a UInt8) ENGINE = Memory",
        b"SHOW TABLES FORMAT JSON",
    ],
)
def test_what_is_neither_select_nor_insert_with_data_keeps_its_text(sql):
    statement = parse(sql)
    assert (statement.kind, statement.text) == (Kind.OTHER, sql)


@pytest.mark.parametrize(
    "sql",
    [b"SELECT 1; SELECT 2", b"SELECT 1;;SELECT 2", b"DROP TABLE t; -- x\n DROP TABLE u", b"SELECT $a$ ; $a$; x"],
)
def test_several_statements_are_refused(sql):
    with pytest.raises(ClickHouseError, match="Multi-statements are not allowed") as raised:
        parse(sql)
    assert (raised.value.code, raised.value.status) == (62, 400)


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT ';'",
        b"SELECT 1;",
        b"SELECT 1 ; -- ;\n",
        b"SELECT `a;b` /* ; */",
        b"SELECT $a$ ; $a$",
        b"SELECT 'it''s;'",
    ],
)
def test_a_semicolon_that_separates_nothing_is_no_second_statement(sql):
    assert parse(sql).kind is Kind.SELECT


@pytest.mark.parametrize("sql", [b"", b"  \n", b"-- only a note", b";", b"/* never closed"])
def test_nothing_is_an_empty_query(sql):
    with pytest.raises(ClickHouseError, match="Empty query"):
        parse(sql)


@pytest.mark.parametrize(
    "sql",
    [
        b"SYSTEM SHUTDOWN",
        b"/* x */ system -- y\n kill",
        b"CREATE NAMED COLLECTION c AS a = 1",
        b"ALTER NAMED COLLECTION c SET a = 1",
        b"SELECT 1 PARALLEL WITH DROP NAMED COLLECTION c",
        b"SELECT * FROM Python(x)",
        b"KILL QUERY WHERE 1 SYNC",
        b"DROP DATABASE default",
        b"drop database IF EXISTS `system` SYNC",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
    ],
)
def test_what_would_end_or_hang_the_engine_is_refused(sql):
    with pytest.raises(ClickHouseError) as raised:
        parse(sql)
    assert (raised.value.code, raised.value.status) == (48, 501)


@pytest.mark.parametrize("sql", [b"SELECT 1 INTO OUTFILE 'x'", b"SELECT 1 into\noutfile 'x' FORMAT CSV"])
def test_a_result_never_goes_to_a_file_of_the_server(sql):
    with pytest.raises(ClickHouseError) as raised:
        parse(sql)
    assert (raised.value.code, raised.value.status) == (348, 400)


@pytest.mark.parametrize(
    "sql", [b"SYSTEM FLUSH LOGS", b"KILL QUERY WHERE 1 ASYNC", b"DROP DATABASE defaults", b"SELECT 'SYSTEM SHUTDOWN'"]
)
def test_its_neighbours_are_not_refused(sql):
    assert parse(sql).first in ("SYSTEM", "KILL", "DROP", "SELECT")


def test_what_changes_a_session_is_known():
    changing = [b"SET a = 1", b"USE db", b"CREATE TEMPORARY TABLE t (a UInt8)", b"create or replace temporary table t"]
    assert all(parse(sql).changes_session for sql in changing)
    assert not parse(b"CREATE TABLE t (a UInt8) ENGINE = Memory").changes_session
