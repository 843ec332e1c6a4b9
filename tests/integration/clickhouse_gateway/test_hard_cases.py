"""What clients do wrong, and what a query can do to the engine: the process lives on and answers."""

import base64
import gzip
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from neonblue_local.clickhouse.app import THREADS

ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number), 'mark')"


@pytest.fixture(autouse=True)
def still_alive(gateway, http):
    yield
    assert gateway.process.poll() is None, gateway.log()
    assert http.post("/", content="SELECT 'alive'").text == "alive\n"


def until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)  # between two looks


def running(http: httpx.Client, mark: str) -> int:
    """Queries in the engine that contain `mark`, this one aside."""
    sql = "SELECT count() FROM system.processes WHERE query LIKE {m:String} AND query NOT LIKE '%system.processes%'"
    return int(http.post("/", params={"query": sql, "param_m": f"%{mark}%"}).text)


def begin(gateway, sql: str | bytes, *, missing: int = 0, headers: str = "") -> socket.socket:
    """A connection that has sent a request, `missing` bytes short, and read nothing."""
    secret = base64.b64encode("neon:p@ss:ä".encode()).decode()
    sent = sql.encode() if isinstance(sql, str) else sql
    connection = socket.create_connection(("127.0.0.1", gateway.port))
    head = f"Authorization: Basic {secret}\r\nContent-Length: {len(sent) + missing}\r\n{headers}"
    connection.sendall(f"POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode() + sent)
    return connection


def test_an_error_that_quotes_bytes_which_are_no_text_is_told(http):
    answer = http.post("/", content="SELECT toUInt64(sipHash128('x'))")
    code = answer.headers["X-ClickHouse-Exception-Code"]
    told = {"6": "Cannot parse string", "1002": "the engine's reason quotes bytes"}  # the second by an older Python
    assert answer.status_code == (400 if code == "6" else 500)
    assert answer.text.startswith(f"Code: {code}. DB::Exception: {told[code]}")


def test_a_query_whose_client_goes_away_is_stopped(gateway, http):
    sql = ENDLESS.replace("mark", "gone-1")
    connection = begin(gateway, sql)
    until(lambda: running(http, "gone-1") == 1, "the query runs")
    connection.close()
    until(lambda: running(http, "gone-1") == 0, "the query has ended")


def test_a_stream_whose_client_goes_away_in_the_middle_is_stopped(gateway, http):
    connection = begin(gateway, "SELECT number, 'gone-2' FROM numbers(100000000000) FORMAT JSONEachRow")
    assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
    connection.recv(1 << 20)
    assert running(http, "gone-2") == 1
    connection.close()
    until(lambda: running(http, "gone-2") == 0, "the query has ended")


def test_a_write_whose_client_goes_away_is_brought_to_its_end(gateway, http, table):
    http.post("/", content=f"CREATE TABLE {table} (a UInt64) ENGINE = MergeTree ORDER BY a").raise_for_status()
    sql = f"INSERT INTO {table} SELECT number + sleepEachRow(0.05) FROM numbers(20) SETTINGS max_block_size = 1"
    connection = begin(gateway, sql)
    until(lambda: running(http, f"INSERT INTO {table}") == 1, "the insert runs")
    connection.close()
    until(lambda: http.post("/", content=f"SELECT count() FROM {table}").text == "20\n", "all rows are there")


def test_kill_query_takes_the_query_id_of_this_interface(gateway, http):
    with ThreadPoolExecutor(1) as thread:
        sent = thread.submit(httpx.post, gateway.url, params={"query_id": "kill-me"}, content=ENDLESS,
                             auth=("neon", "p@ss:ä"), timeout=60)  # fmt: skip
        until(lambda: running(http, "sipHash64(number), 'mark'") == 1, "the query runs")
        same = http.post("/", params={"query_id": "kill-me"}, content="SELECT 1")
        assert same.headers["x-clickhouse-exception-code"] == "216"
        http.post("/", content="KILL QUERY WHERE query_id = 'kill-me'").raise_for_status()
        answer = sent.result()
    assert answer.headers["x-clickhouse-exception-code"] == "394"


def test_a_slow_client_gets_its_whole_result_and_holds_nobody_up(gateway, http):
    sql = "SELECT number FROM numbers(5000000) FORMAT RowBinary"
    connection = begin(gateway, sql, headers="Connection: close\r\n")
    assert http.post("/", content="SELECT 1").text == "1\n"
    size = 0
    while data := connection.recv(1 << 16):
        size += len(data)
    assert size > 40_000_000
    connection.close()


def test_a_body_that_is_cut_inserts_nothing(gateway, http, table):
    http.post("/", content=f"CREATE TABLE {table} (a UInt64) ENGINE = MergeTree ORDER BY a").raise_for_status()
    insert = f"INSERT INTO {table} FORMAT CSV\n".encode() + b"1\n" * 1000
    connection = begin(gateway, insert, missing=100)
    connection.close()
    packed = gzip.compress(insert + os.urandom(1000).hex().encode())[:-20]
    answer = http.post("/", content=packed, headers={"content-encoding": "gzip"})
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (400, "374")
    assert http.post("/", content=f"SELECT count() FROM {table}").text == "0\n"


@pytest.mark.parametrize("body", ["1,x\nnot a number,y\n", "1\n"])
def test_data_that_cannot_be_read_insert_nothing(http, table, body):
    http.post(
        "/", content=f"CREATE TABLE {table} (a UInt64, b String) ENGINE = MergeTree ORDER BY a"
    ).raise_for_status()
    answer = http.post("/", content=f"INSERT INTO {table} FORMAT CSV\n{body}")
    assert answer.status_code >= 400
    assert int(answer.headers["x-clickhouse-exception-code"]) > 0
    assert http.post("/", content=f"SELECT count() FROM {table}").text == "0\n"


def test_a_native_block_of_noise_is_an_error(http, table):
    http.post("/", content=f"CREATE TABLE {table} (a UInt64) ENGINE = MergeTree ORDER BY a").raise_for_status()
    answer = http.post("/", params={"query": f"INSERT INTO {table} FORMAT Native"}, content=b"\xff" * 5000)
    assert answer.status_code >= 400
    assert http.post("/", content=f"SELECT count() FROM {table}").text == "0\n"


def test_a_body_beyond_the_limit_is_refused(http):
    answer = http.post("/", params={"query": "INSERT INTO x FORMAT TSV"}, content=gzip.compress(bytes(65 << 20)),
                       headers={"content-encoding": "gzip"})  # fmt: skip
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (413, "307")


def test_a_query_beyond_the_memory_limit_fails_alone(http):
    sql = "SELECT length(groupArray(repeat(toString(number), 1000))) FROM numbers(10000000)"
    answer = http.post("/", content=sql)
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (500, "241")


def test_a_huge_statement_is_refused_or_answered(http):
    sql = "SELECT length([" + ",".join("1" * 300_000) + "])"
    answer = http.post("/", content=sql)
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (400, "62")
    answer = http.post("/", params={"max_query_size": 10_000_000, "max_ast_elements": 1_000_000}, content=sql)
    assert answer.text == "300000\n"
    answer = http.post("/", content="SELECT '" + "x" * (17 << 20) + "'")
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (400, "62")


def test_deep_brackets_are_an_error_not_an_end(http):
    answer = http.post("/", content="SELECT " + "(" * 100_000 + "1" + ")" * 100_000)
    assert answer.headers["x-clickhouse-exception-code"] in ("62", "167", "306")


def test_a_hundred_queries_at_once_are_all_answered(http):
    def ask(number: int) -> str:
        sql = f"SELECT {number}, count() FROM numbers(100000) WHERE NOT ignore(sipHash64(number))"
        return http.post("/", content=sql).text

    with ThreadPoolExecutor(100) as threads:
        assert list(threads.map(ask, range(100))) == [f"{number}\t100000\n" for number in range(100)]


def test_ping_answers_while_every_thread_is_taken(gateway, http):
    sql = "SELECT sleepEachRow(0.2), 'full' FROM numbers(1000) SETTINGS max_block_size = 1"
    connections = [begin(gateway, sql) for _ in range(THREADS - 1)]
    until(lambda: running(http, "'full'") == THREADS - 1, "all run")
    connections += [begin(gateway, sql) for _ in range(10)]
    assert httpx.get(f"{gateway.url}/ping", timeout=20).text == "Ok.\n"
    for connection in connections:
        connection.close()
    until(lambda: running(http, "'full'") == 0, "all queries have ended", 60)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01 this is no HTTP\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /?query=%zz%00 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_request_is_turned_away(gateway, sent):
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(sent)
        connection.settimeout(20)
        assert connection.recv(1000).startswith(b"HTTP/1.1 4")
