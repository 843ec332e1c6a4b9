"""The HTTP interface itself: what curl, Grafana and other programs rely on."""

import gzip
import json
import zlib

import httpx
import lz4.frame
import pytest
import zstandard


def test_ping_and_the_root_answer_without_a_password(gateway):
    for path in ("/ping", "/", "/replicas_status"):
        answer = httpx.get(gateway.url + path)
        assert (answer.status_code, answer.text) == (200, "Ok.\n")


def test_a_query_works_in_the_url_in_the_body_and_in_both(http):
    assert http.get("/", params={"query": "SELECT 1"}).text == "1\n"
    assert http.post("/", content="SELECT 2").text == "2\n"
    assert http.post("/", params={"query": "SELECT"}, content="3").text == "3\n"
    assert http.post("/", params={"query": "SELECT {x:String}", "param_x": "a\\tb"}).text == "a\\tb\n"


def test_an_empty_query_is_an_error(http):
    answer = http.post("/", content="")
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (400, "62")


def test_a_grafana_style_query_returns_json(http):
    answer = http.post("/", params={"default_format": "JSON", "database": "system"}, content="SELECT dummy FROM one")
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-clickhouse-format"] == "JSON"
    assert answer.json()["data"] == [{"dummy": 0}]
    answer = http.get("/", params={"query": "SELECT 1 AS a FORMAT JSONCompact"})
    assert (answer.headers["x-clickhouse-format"], answer.json()["data"]) == ("JSONCompact", [[1]])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CSVWithNames", '"n","s"\n0,"x"\n1,"x"\n'),
        ("TabSeparatedWithNamesAndTypes", "n\ts\nUInt64\tString\n0\tx\n1\tx\n"),
        ("JSONEachRow", '{"n":0,"s":"x"}\n{"n":1,"s":"x"}\n'),
        ("Values", "(0,'x'),(1,'x')"),
    ],
)
def test_every_format_has_one_beginning_and_one_end(http, name, text):
    sql = f"SELECT number AS n, 'x' AS s FROM numbers(2) SETTINGS max_block_size = 1 FORMAT {name}"
    assert http.post("/", content=sql).text == text


def test_a_long_csv_has_one_header(http):
    answer = http.post("/", content="SELECT number AS n FROM numbers(2000000) FORMAT CSVWithNames")
    lines = answer.text.splitlines()
    assert (lines[0], len(lines), lines[-1]) == ('"n"', 2_000_001, "1999999")
    assert '"n"' not in lines[1:]


def test_a_result_that_fails_late_is_never_taken_for_whole(http):
    sql = "SELECT number, throwIf(number = 3000000, 'too far') FROM numbers(10000000) FORMAT CSV"
    parts: list[bytes] = []
    with http.stream("POST", "/", content=sql) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            parts.extend(answer.iter_bytes())
    taken = b"".join(parts)
    tag = answer.headers["x-clickhouse-exception-tag"].encode()
    assert b"__exception__\r\n" + tag + b"\r\nCode: 395. DB::Exception: too far" in taken
    assert taken.endswith(tag + b"\r\n__exception__\r\n")
    held_back = http.post("/", params={"wait_end_of_query": 1}, content=sql)
    assert (held_back.status_code, held_back.headers["x-clickhouse-exception-code"]) == (500, "395")


def test_the_reply_tells_query_id_summary_and_time_zone(http):
    answer = http.post("/", params={"query_id": "mine-1", "wait_end_of_query": 1}, content="SELECT * FROM numbers(10)")
    assert answer.headers["x-clickhouse-query-id"] == "mine-1"
    assert answer.headers["x-clickhouse-timezone"] == http.get("/", params={"query": "SELECT timezone()"}).text.strip()
    summary = json.loads(answer.headers["x-clickhouse-summary"])
    assert (summary["read_rows"], summary["result_rows"]) == ("10", "10")


def test_each_request_gets_a_query_id_of_its_own(http):
    first, second = (http.post("/", content="SELECT 1").headers["x-clickhouse-query-id"] for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELECT * FROM nope", 404, 60),
        ("SELECT nope", 404, 47),
        ("SELEC 1", 400, 62),
        ("SELECT 1; SELECT 2", 400, 62),
        ("SELECT throwIf(1)", 500, 395),
        ("SELECT sleepEachRow(1) FROM numbers(3) SETTINGS max_execution_time = 1", 408, 159),
        ("SELECT 1 INTO OUTFILE 'x'", 400, 348),
        ("CREATE NAMED COLLECTION c AS a = 1", 501, 48),
        ("CREATE USER u", 403, 497),
        ("SELECT 1 FORMAT NoSuchFormat", 404, 73),
        ("SELECT {x:UInt8}", 500, 456),
    ],
)
def test_an_error_has_a_servers_status_code_and_text(http, sql, status, code):
    answer = http.post("/", content=sql)
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (status, str(code)), answer.text
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert answer.text.endswith("(chDB))\n")


def test_a_missing_or_wrong_password_is_refused_before_anything_runs(gateway, http, table):
    for auth in (None, ("neon", "wrong"), ("other", "x")):
        answer = httpx.post(gateway.url, content=f"CREATE TABLE {table} (a UInt8) ENGINE = Memory", auth=auth)
        assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (403, "516")
    assert http.post("/", content=f"EXISTS TABLE {table}").text == "0\n"


def test_credentials_may_come_in_clickhouses_own_headers_or_the_url(gateway):
    secret = "p@ss:ä"
    headers = {"X-ClickHouse-User": b"neon", "X-ClickHouse-Key": secret.encode()}
    assert httpx.post(gateway.url, content="SELECT 1", headers=headers).text == "1\n"
    assert httpx.post(gateway.url, params={"user": "neon", "password": secret}, content="SELECT 1").text == "1\n"


def test_get_cannot_change_data(http, table):
    http.post("/", content=f"CREATE TABLE {table} (a UInt8) ENGINE = MergeTree ORDER BY a").raise_for_status()
    for sql in (f"INSERT INTO {table} VALUES (1)", f"DROP TABLE {table}", f"ALTER TABLE {table} DELETE WHERE 1"):
        answer = http.get("/", params={"query": sql})
        assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (500, "164"), answer.text
    assert http.get("/", params={"query": f"SELECT count() FROM {table}"}).text == "0\n"
    assert http.get("/", params={"query": "SELECT 1", "max_threads": 1}).text == "1\n"


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip", "deflate"])
@pytest.mark.parametrize("rows", [3, 400_000])
def test_a_reply_is_compressed_if_the_client_asks_for_it(gateway, http, encoding, rows):
    sql = f"SELECT number FROM numbers({rows})"
    plain = http.post("/", content=sql)
    assert "content-encoding" not in plain.headers
    headers = {"accept-encoding": encoding}
    with http.stream("POST", "/", params={"enable_http_compression": 1}, content=sql, headers=headers) as answer:
        packed = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == encoding
    unpack = {
        "lz4": lz4.frame.decompress,
        "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
        "gzip": gzip.decompress,
        "deflate": zlib.decompress,
    }
    assert unpack[encoding](packed) == plain.content


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd", "lz4"])
@pytest.mark.parametrize("in_url", [True, False])
def test_csv_and_json_lines_are_inserted_from_the_body(http, table, encoding, in_url):
    pack = {"": bytes, "gzip": gzip.compress, "zstd": zstandard.compress, "lz4": lz4.frame.compress}[encoding]
    headers = {"content-encoding": encoding} if encoding else {}
    http.post("/", content=f"CREATE TABLE {table} (a UInt8, b String) ENGINE = MergeTree ORDER BY a").raise_for_status()
    for name, data in (("CSV", '1,"x;y"\n2,ü\n'), ("JSONEachRow", '{"a":3,"b":"z"}\n')):
        insert = f"INSERT INTO {table} (a, b) FORMAT {name}"
        query, body = ({"query": insert}, data) if in_url else ({}, f"{insert}\n{data}")
        answer = http.post("/", params=query, content=pack(body.encode()), headers=headers)
        assert answer.status_code == 200, answer.text
    assert json.loads(answer.headers["x-clickhouse-summary"])["written_rows"] == "1"
    assert http.post("/", content=f"SELECT * FROM {table} ORDER BY a").text == "1\tx;y\n2\tü\n3\tz\n"


def test_values_in_the_text_and_settings_before_the_format_are_inserted(http, table):
    http.post("/", content=f"CREATE TABLE {table} (a UInt8, b String) ENGINE = MergeTree ORDER BY a").raise_for_status()
    http.post("/", content=f"INSERT INTO {table} VALUES (1, 'a;b'), (2, 'c')").raise_for_status()
    insert = f"INSERT INTO {table} (a) SETTINGS max_insert_threads = 1 FORMAT TSV\n3\n"
    http.post("/", content=insert).raise_for_status()
    http.post("/", params={"query": f"INSERT INTO {table} FORMAT TSV\n4\td"}).raise_for_status()
    assert http.post("/", content=f"SELECT arraySort(groupArray(a)) FROM {table}").text == "[1,2,3,4]\n"


def test_a_query_may_hold_a_nul_and_bytes_that_are_not_utf8(http):
    assert http.post("/", content=b"SELECT length('a\0b'), hex('\xff')").text == "3\tFF\n"


def test_session_rules_are_a_servers(http):
    answer = http.post("/", params={"session_id": "never", "session_check": 1}, content="SELECT 1")
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (404, "372")
    answer = http.post("/", params={"session_id": "s", "session_timeout": "9999"}, content="SELECT 1")
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (400, "380")
    session = {"session_id": "closing"}
    http.post("/", params=session, content="CREATE TEMPORARY TABLE x (a UInt8)").raise_for_status()
    http.get("/", params={**session, "query": "SELECT count() FROM x"}).raise_for_status()
    assert (
        http.get("/", params={**session, "query": "INSERT INTO x VALUES (1)"}).headers["x-clickhouse-exception-code"]
        == "164"
    )
    http.post("/", params={**session, "close_session": 1}, content="SELECT count() FROM x").raise_for_status()
    assert http.post("/", params=session, content="SELECT count() FROM x").status_code == 404


def test_use_and_set_hold_in_a_session(http):
    session = {"session_id": "used"}
    http.post("/", params=session, content="USE system").raise_for_status()
    http.post("/", params=session, content="SET max_block_size = 77").raise_for_status()
    answer = http.post("/", params=session, content="SELECT currentDatabase(), getSetting('max_block_size')")
    assert answer.text == "system\t77\n"
    assert http.post("/", content="SELECT currentDatabase()").text == "default\n"


def test_an_unknown_path_setting_or_encoding_is_named(http):
    assert "There is no handle /nope" in http.get("/nope").text
    answer = http.post("/", params={"no_such_setting": 1}, content="SELECT 1")
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (404, "115")
    assert "no_such_setting" in answer.text
    answer = http.post("/", content=b"SELECT 1", headers={"content-encoding": "br"})
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (501, "48")


def test_a_malformed_form_is_refused(http):
    answer = http.post("/", content=b"--X\r\nno end", headers={"content-type": "multipart/form-data; boundary=X"})
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (400, "524")


def test_a_form_carries_query_and_parameters(http):
    form = {"query": (None, "SELECT {x:UInt8} + 1"), "param_x": (None, "4")}
    assert http.post("/", files=form).text == "5\n"
