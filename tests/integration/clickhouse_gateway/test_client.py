"""An unmodified clickhouse-connect client finds an ordinary ClickHouse server."""

import datetime as dt
import decimal
import ipaddress
import uuid
from concurrent.futures import ThreadPoolExecutor

import clickhouse_connect
import pandas as pd
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

UTC = dt.UTC


def test_the_client_connects_and_learns_version_and_time_zone(client):
    assert client.server_version.startswith("26.1.")
    assert client.ping()
    assert client.command("SELECT 1") == 1


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("UInt64", [0, 2**64 - 1]),
        ("Int256", [-(2**255), 2**255 - 1]),
        ("Float64", [0.1, -1e308, float("inf")]),
        ("Bool", [True, False]),
        ("String", ["", "grüße 😀 中文", "tab\tnewline\nquote'\\", "nul\0in it"]),
        ("FixedString(3)", [b"abc", b"\0\xff\0"]),
        ("LowCardinality(String)", ["a", "b", "a"]),
        ("LowCardinality(Nullable(String))", ["a", None, "a"]),
        ("Nullable(Int32)", [1, None, -3]),
        ("Array(String)", [[], ["x", "y'z"]]),
        ("Array(Array(Nullable(UInt8)))", [[[1, None], []], []]),
        ("Map(String, UInt64)", [{}, {"a": 1, "b": 2**63}]),
        ("Tuple(a UInt8, b String)", [{"a": 1, "b": "x"}, {"a": 2, "b": "ü"}]),
        ("UUID", [uuid.UUID(int=0), uuid.UUID("0193d4b8-7d5e-7c5c-8f55-111122223333")]),
        ("Decimal(38, 10)", [decimal.Decimal("1234567890123456789.0123456789"), decimal.Decimal("-0.5")]),
        ("Date", [dt.date(1970, 1, 1), dt.date(2149, 6, 6)]),
        ("Date32", [dt.date(1900, 1, 1), dt.date(2299, 12, 31)]),
        ("DateTime('UTC')", [dt.datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)]),
        ("DateTime64(6, 'UTC')", [dt.datetime(2026, 1, 31, 23, 59, 59, 123456, tzinfo=UTC)]),
        ("DateTime64(3, 'Europe/Berlin')", [dt.datetime(2026, 6, 1, 12, 0, 0, 5000, tzinfo=UTC)]),
        ("Enum8('a' = 1, 'b' = 2)", ["a", "b"]),
        ("IPv6", [ipaddress.IPv6Address("::1")]),
        ("JSON", [{"a": 1, "b": {"c": "x"}}]),
    ],
)
def test_a_value_comes_back_equal(client, table, kind, values):
    client.command(f"CREATE TABLE {table} (n UInt32, v {kind}) ENGINE = MergeTree ORDER BY n")
    summary = client.insert(table, [[n, value] for n, value in enumerate(values)], column_names=["n", "v"])
    assert summary.written_rows == len(values)
    options = {"utc_tz_aware": True} if "DateTime" in kind else {}
    found = client.query(f"SELECT v FROM {table} ORDER BY n", tz_mode="aware" if options else None)
    assert [row[0] for row in found.result_rows] == values


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("UInt32", 13),
        ("Int64", -(2**63)),
        ("Float64", 1.5),
        ("Bool", True),
        ("String", "it's \\ a \t tab,\na line and ü"),
        ("Nullable(String)", None),
        ("Array(String)", ["a", "b'c", "d\\e"]),
        ("Array(UInt8)", [1, 2, 3]),
        ("Tuple(UInt8, String)", (1, "x")),
        ("Date", dt.date(2026, 2, 28)),
        ("DateTime('UTC')", dt.datetime(2026, 2, 28, 1, 2, 3)),
        ("DateTime64(6, 'UTC')", dt.datetime(2026, 2, 28, 1, 2, 3, 456789)),
        ("UUID", uuid.UUID("0193d4b8-7d5e-7c5c-8f55-111122223333")),
        ("Decimal(18, 4)", decimal.Decimal("12.3400")),
    ],
)
def test_a_typed_parameter_arrives_with_its_value(client, kind, value):
    name = "x_64" if "DateTime64" in kind else "x"
    found = client.query(f"SELECT {{x:{kind}}}", parameters={name: value}, tz_mode="naive_utc")
    assert found.result_rows == [(value,)]


def test_a_table_can_be_named_by_a_parameter(client, table):
    client.command(f"CREATE TABLE {table} (a UInt8) ENGINE = MergeTree ORDER BY a")
    client.command("INSERT INTO {t:Identifier} SELECT 7", parameters={"t": table})
    assert client.query("SELECT a FROM {t:Identifier}", parameters={"t": table}).result_rows == [(7,)]


def test_a_frame_comes_back_equal(client, table):
    frame = pd.DataFrame({"a": range(100_000), "b": [f"row {n} ü" for n in range(100_000)], "c": [1.5, 2.5] * 50_000})
    client.command(f"CREATE TABLE {table} (a Int64, b String, c Float64) ENGINE = MergeTree ORDER BY a")
    assert client.insert_df(table, frame).written_rows == 100_000
    found = client.query_df(f"SELECT * FROM {table} ORDER BY a")
    pd.testing.assert_frame_equal(found, frame, check_dtype=False)


def test_arrow_goes_in_and_comes_out(client, table):
    given = pa.table({"a": pa.array([1, 2, 3], pa.int64()), "b": ["x", "ü", ""]})
    client.command(f"CREATE TABLE {table} (a Int64, b String) ENGINE = MergeTree ORDER BY a")
    client.insert_arrow(table, given)
    assert client.query_arrow(f"SELECT * FROM {table} ORDER BY a", use_strings=True).to_pydict() == given.to_pydict()
    empty = client.query_arrow(f"SELECT * FROM {table} WHERE a > 9")
    assert (empty.num_rows, empty.column_names) == (0, ["a", "b"])


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_every_compression_carries_inserts_and_results(gateway, client, table, compress):
    client.command(f"CREATE TABLE {table} (a UInt32, b String) ENGINE = MergeTree ORDER BY a")
    rows = [[n, f"value {n % 7}"] for n in range(50_000)]
    with gateway.client(compress=compress) as packed:
        packed.insert(table, rows, column_names=["a", "b"])
        assert [list(row) for row in packed.query(f"SELECT * FROM {table} ORDER BY a").result_rows] == rows


def test_an_empty_result_names_its_columns(client):
    found = client.query("SELECT number AS n, toString(number) AS s FROM numbers(9) WHERE number > 10")
    assert (found.result_rows, found.column_names) == ([], ("n", "s"))
    assert [kind.name for kind in found.column_types] == ["UInt64", "String"]
    assert client.query("SELECT 1 AS a LIMIT 0").column_names == ("a",)


def test_a_big_result_is_complete(client):
    found = client.query("SELECT sum(n), count() FROM (SELECT number AS n FROM numbers(3000000))").result_rows
    columns = client.query("SELECT number FROM numbers(3000000)", column_oriented=True).result_columns
    assert found == [(sum(columns[0]), len(columns[0]))]


def test_a_stream_is_complete(client):
    with client.query_row_block_stream("SELECT number, toString(number) FROM numbers(1000000)") as stream:
        total = sum(row[0] for block in stream for row in block)
    assert total == 999_999 * 500_000


def test_an_error_after_the_first_block_reaches_the_client(client):
    rows = 0
    query = "SELECT number, throwIf(number = 4000000, 'too far') FROM numbers(10000000)"
    with client.query_row_block_stream(query) as stream:
        blocks = iter(stream)
        rows += len(next(blocks))
        with pytest.raises(StreamFailureError, match="too far") as raised:
            rows += sum(len(block) for block in blocks)
    assert raised.value.code == 395
    assert 0 < rows <= 4_000_000


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT * FROM no_such_table", 60),
        ("SELECT no_such_column", 47),
        ("SELEC 1", 62),
        ("SELECT * FROM no_such_database.t", 81),
        ("SELECT throwIf(1)", 395),
        ("SELECT toUInt8('x')", 6),
        ("SELECT 1; SELECT 2", 62),
        ("SYSTEM SHUTDOWN", 48),
    ],
)
def test_an_error_carries_clickhouses_code_and_name(client, sql, code):
    with pytest.raises(DatabaseError) as raised:
        client.query(sql)
    assert raised.value.code == code
    assert f"Code: {code}. DB::Exception:" in str(raised.value)


def test_an_insert_into_a_wrong_column_inserts_nothing(client, table):
    client.command(f"CREATE TABLE {table} (a UInt8) ENGINE = MergeTree ORDER BY a")
    with pytest.raises(DatabaseError) as raised:
        client.insert(table, [[1]], column_names=["nope"], column_type_names=["UInt8"])
    assert raised.value.code == 16
    assert client.command(f"SELECT count() FROM {table}") == 0


def test_settings_hold_for_their_query_only(client):
    query = "SELECT getSetting('max_block_size'), getSetting('log_comment')"
    given = client.query(query, settings={"max_block_size": 123, "log_comment": "run 7"}).result_rows
    assert given == [(123, "run 7")]
    assert client.query(query).result_rows != given
    with pytest.raises(DatabaseError, match="UNKNOWN_SETTING"):
        client.query("SELECT 1 SETTINGS no_such_setting = 1")


def test_a_session_keeps_settings_database_and_temporary_tables(gateway):
    with gateway.client() as first, gateway.client() as second:
        first.command("SET max_block_size = 777")
        first.command("CREATE TEMPORARY TABLE mine (a UInt8)")
        first.insert("mine", [[1], [2]], column_names=["a"])
        assert first.query("SELECT sum(a) FROM mine", settings={"max_threads": 1}).result_rows == [(3,)]
        query = "SELECT getSetting('max_block_size'), getSetting('max_threads')"
        changed = first.query(query, settings={"max_threads": 1, "max_block_size": 5}).result_rows
        assert changed == [(5, 1)]
        assert first.query(query).result_rows[0][0] == 777
        assert first.query(query).result_rows[0][1] == second.query(query).result_rows[0][1]
        with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
            second.query("SELECT * FROM mine")


def test_a_database_can_be_chosen(client, gateway):
    client.command("CREATE DATABASE IF NOT EXISTS chosen")
    client.command("CREATE OR REPLACE TABLE chosen.here (a UInt8) ENGINE = MergeTree ORDER BY a")
    with gateway.client(database="chosen") as inside:
        inside.insert("here", [[5]], column_names=["a"])
        assert inside.query("SELECT a, currentDatabase() FROM here").result_rows == [(5, "chosen")]
    with pytest.raises(DatabaseError, match="UNKNOWN_DATABASE"):
        gateway.client(database="never_made")
    client.command("DROP DATABASE chosen SYNC")


def test_sixteen_clients_at_once_get_their_own_answers(gateway, client, table):
    client.command(f"CREATE TABLE {table} (c UInt32, n UInt64) ENGINE = MergeTree ORDER BY (c, n)")

    def work(number: int) -> list[int]:
        with gateway.client(autogenerate_session_id=False) as own:
            answers = []
            for step in range(20):
                own.insert(table, [[number, step]], column_names=["c", "n"])
                sql = "SELECT {x:UInt32} * 1000 + {y:UInt32}, count() FROM numbers(50000)"
                answers.append(own.query(sql, parameters={"x": number, "y": step}).result_rows[0][0])
            return answers

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(work, range(16)))
    assert found == [[number * 1000 + step for step in range(20)] for number in range(16)]
    assert client.query(f"SELECT count(), uniqExact(c, n) FROM {table}").result_rows == [(320, 320)]


def test_a_wrong_password_is_refused(gateway):
    with pytest.raises(DatabaseError) as raised:
        clickhouse_connect.get_client(host="127.0.0.1", port=gateway.port, username="neon", password="wrong")
    assert raised.value.code == 516


def test_external_data_can_be_joined(client):
    from clickhouse_connect.driver.external import ExternalData

    data = ExternalData(
        file_name="ids", data=b"1\tone\n3\tthree\n", fmt="TabSeparated", structure="id UInt64, w String"
    )
    sql = "SELECT number, w FROM numbers(5) AS n JOIN ids ON number = id ORDER BY number"
    assert client.query(sql, external_data=data).result_rows == [(1, "one"), (3, "three")]
