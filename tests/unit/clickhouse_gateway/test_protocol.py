"""The words of the HTTP interface: neonblue_local.clickhouse.protocol and errors."""

import base64

import pytest

from neonblue_local.clickhouse.errors import ClickHouseError
from neonblue_local.clickhouse.protocol import Request, empty_native, late_error


def request(query_string: str = "", headers: dict[str, str] | None = None) -> Request:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    return Request.of({"method": "POST", "path": "/", "headers": pairs, "query_string": query_string.encode()})


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    "good",
    [
        request(headers=basic("neon:p:ä")),
        request("user=neon&password=p:%C3%A4"),
    ],
)
def test_the_right_credentials_are_taken_in_every_form(good):
    good.authenticate("neon", "p:ä")


def test_credentials_in_clickhouses_own_headers_are_taken():
    request(headers={"x-clickhouse-user": "neon", "x-clickhouse-key": "pw"}).authenticate("neon", "pw")


@pytest.mark.parametrize(
    "bad",
    [
        request(),
        request("user=neon"),
        request("user=neon&password=pw", basic("neon:wrong")),
        request(headers=basic("other:pw")),
        request(headers={"authorization": "Basic %%%"}),
        request(headers={"authorization": "Bearer pw"}),
        request(headers={"x-clickhouse-key": "pw"}),
    ],
)
def test_wrong_credentials_are_refused(bad):
    with pytest.raises(ClickHouseError) as raised:
        bad.authenticate("neon", "pw")
    assert (raised.value.code, raised.value.status) == (516, 403)


def test_parameters_are_told_from_settings():
    given = request("query=SELECT+1&database=d&max_threads=2&param_x=1&wait_end_of_query=1&query_id=q")
    assert given.settings == {"max_threads": "2"}
    assert given.params == {"x": "1"}
    assert (given.query, given.database, given.query_id) == (b"SELECT 1", "d", "q")


def test_a_query_keeps_bytes_that_are_not_utf8():
    assert request("query=SELECT+'%FF'").query == b"SELECT '\xff'"


def test_a_parameter_that_is_not_utf8_is_refused():
    with pytest.raises(ClickHouseError, match="'param_x' is not UTF-8"):
        request("param_x=%FF").refuse_unsupported()


def form(body: bytes) -> Request:
    given = request(headers={"content-type": "multipart/form-data; boundary=XX"})
    given.take_form(body)
    return given


def test_a_forms_fields_are_parameters_and_its_files_tables():
    given = form(
        b'--XX\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT 1\r\n'
        b'--XX\r\nContent-Disposition: form-data; name="t_types"\r\n\r\nUInt8, Map(String, UInt8)\r\n'
        b'--XX\r\nContent-Disposition: form-data; name="t"; filename="f"\r\n\r\n1\t{}\n\r\n--XX--\r\n'
    )
    assert given.query == b"SELECT 1"
    assert given.external[0].structure == "_1 UInt8, _2 Map(String, UInt8)"
    assert given.external[0].data == b"1\t{}\n"
    assert given.settings == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        b'--XX\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT 1',
        b"--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--",
        b'--XX\r\nContent-Disposition: form-data; name="query"\r\n--XX--',
        b'--XX\r\nContent-Disposition: form-data; name="t"; filename="f"\r\n\r\n1\r\n--XX--',
    ],
)
def test_a_form_that_is_cut_or_malformed_is_refused(body):
    with pytest.raises(ClickHouseError) as raised:
        form(body)
    assert (raised.value.code, raised.value.status) == (524, 400)


@pytest.mark.parametrize(
    ("text", "code", "status"),
    [
        ("Code: 60. DB::Exception: Unknown table. (UNKNOWN_TABLE)", 60, 404),
        ("Failed: Code: 62. DB::Exception: Syntax error. (SYNTAX_ERROR)", 62, 400),
        ("Code: 241. DB::Exception: memory limit. (MEMORY_LIMIT_EXCEEDED)", 241, 500),
        ("Code: 999999. DB::Exception: something new", 999999, 500),
        ("no code at all", 1002, 500),
    ],
)
def test_an_engines_error_keeps_its_code_and_gets_a_servers_status(text, code, status):
    error = ClickHouseError.from_engine(RuntimeError(text))
    assert (error.code, error.status) == (code, status)
    assert str(error).startswith(f"Code: {code}.")


def test_a_late_error_tells_its_length_and_tag():
    block = late_error(ClickHouseError.of("SYNTAX_ERROR", "wrong"), "26.1", "TAG")
    _, _, rest = block.partition(b"__exception__\r\nTAG\r\n")
    text, _, length = rest.removesuffix(b" TAG\r\n__exception__\r\n").rpartition(b"\n")
    assert text + b"\n" == b"Code: 62. DB::Exception: wrong (SYNTAX_ERROR) (version 26.1 (chDB))\n"
    assert int(length) == len(text) + 1


def test_an_empty_native_block_names_its_columns():
    assert empty_native([("a", "UInt8"), ("ü", "String")]) == b"\x02\x00\x01a\x05UInt8\x02\xc3\xbc\x06String"
