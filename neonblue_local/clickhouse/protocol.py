"""The words of ClickHouse's HTTP interface: a request's parameters, credentials and body fields, a reply's headers."""

import base64
import binascii
import hmac
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from neonblue_local.clickhouse.engine import Counts
from neonblue_local.clickhouse.errors import ClickHouseError

Headers = list[tuple[bytes, bytes]]

# URL parameters that speak to the interface; every other one is a setting, or a value of a placeholder (param_…).
_INTERFACE = {
    "query",
    "database",
    "user",
    "password",
    "quota_key",
    "query_id",
    "session_id",
    "session_timeout",
    "session_check",
    "close_session",
    "default_format",
    "compress",
    "decompress",
    "wait_end_of_query",
    "buffer_size",
    "role",
    "client_protocol_version",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "enable_http_compression",
    "http_zlib_compression_level",
    "stacktrace",
    "cancel_http_readonly_queries_on_client_close",
    "http_write_exception_in_output_format",
}
_SURROGATE = re.compile("[\ud800-\udfff]")
_EXTERNAL = ("_format", "_types", "_structure")
_TYPES = {
    "Native": b"application/octet-stream",
    "TabSeparated": b"text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNames": b"text/tab-separated-values; charset=UTF-8; header=present",
    "TabSeparatedWithNamesAndTypes": b"text/tab-separated-values; charset=UTF-8; header=present",
    "CSV": b"text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": b"text/csv; charset=UTF-8; header=present",
    "JSONEachRow": b"application/x-ndjson; charset=UTF-8",
    "Parquet": b"application/octet-stream",
    "Arrow": b"application/octet-stream",
    "ArrowStream": b"application/vnd.apache.arrow.stream",
    "RowBinary": b"application/octet-stream",
    "XML": b"application/xml; charset=UTF-8",
}


@dataclass(frozen=True)
class ExternalTable:
    """A table that came with the query (multipart): name, columns as "name Type, …", format and data."""

    name: str
    structure: str
    format: str
    data: bytes


@dataclass
class Request:
    """What a request asks for, apart from its body.

    Attributes:
        values: URL parameters and form fields together, later ones win.
        headers: names in lower case.
    """

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    values: dict[str, str]
    external: list[ExternalTable] = field(default_factory=list)

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> "Request":
        """From an ASGI scope. A query id is made up where none was given."""
        headers = {name.lower(): value for name, value in scope["headers"]}
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="surrogateescape")
        request = cls(scope["method"], scope["path"], headers, dict(pairs))
        if not request.values.get("query_id"):
            request.values["query_id"] = str(uuid.uuid4())
        return request

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode(errors="surrogateescape")

    def flag(self, name: str) -> bool:
        return self.values.get(name, "0").lower() in ("1", "true")

    @property
    def query_id(self) -> str:
        return self.values["query_id"]

    @property
    def query(self) -> bytes:
        """The statement in the URL or form, as the bytes that were sent."""
        return self.values.get("query", "").encode(errors="surrogateescape")

    @property
    def database(self) -> str:
        return self.values.get("database") or self.header(b"x-clickhouse-database")

    @property
    def default_format(self) -> str:
        name = self.values.get("default_format") or self.header(b"x-clickhouse-format") or "TabSeparated"
        if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
            raise ClickHouseError.of("BAD_REQUEST_PARAMETER", f"default_format {name!r} is no name of a format.")
        return name

    @property
    def settings(self) -> dict[str, str]:
        return {
            name: value
            for name, value in self.values.items()
            if name not in _INTERFACE and not name.startswith("param_") and not self._of_external(name)
        }

    @property
    def params(self) -> dict[str, str]:
        return {name[6:]: value for name, value in self.values.items() if name.startswith("param_")}

    def _of_external(self, name: str) -> bool:
        return any(name == table.name + part for table in self.external for part in _EXTERNAL)

    def refuse_unsupported(self) -> None:
        """Raise NOT_IMPLEMENTED or BAD_REQUEST_PARAMETER for what would otherwise be silently misread."""
        for name, value in self.values.items():
            if name != "query" and not (name + value).isprintable() and _SURROGATE.search(name + value):
                raise ClickHouseError.of("BAD_REQUEST_PARAMETER", f"parameter {name!r} is not UTF-8.")
        for name in ("compress", "decompress"):
            if self.flag(name):
                message = f"{name}=1 (ClickHouse's own block framing) is not supported: use HTTP's Content-Encoding or "
                raise ClickHouseError.of(
                    "NOT_IMPLEMENTED", message + "Accept-Encoding with lz4, zstd, gzip or deflate."
                )
        if self.values.get("role"):
            raise ClickHouseError.of("NOT_IMPLEMENTED", "role is not supported: the embedded ClickHouse has one user.")

    def take_form(self, body: bytes) -> None:
        """Read a multipart body: fields join `values`, files become external tables."""
        for name, is_file, data in _multipart(body, self.header(b"content-type")):
            if not is_file:
                self.values[name] = data.decode(errors="surrogateescape")
                continue
            structure = self.values.get(name + "_structure", "")
            if not structure and (types := self.values.get(name + "_types", "")):
                structure = ", ".join(f"_{at} {kind}" for at, kind in enumerate(_split_types(types), 1))
            if not structure:
                message = f"external table {name!r} has no columns: send {name}_structure or {name}_types."
                raise ClickHouseError.of("BAD_REQUEST_PARAMETER", message)
            table_format = self.values.get(name + "_format", "TabSeparated")
            self.external.append(ExternalTable(name, structure, table_format, data))
        self.refuse_unsupported()

    def authenticate(self, user: str, password: str) -> None:
        """Raise AUTHENTICATION_FAILED unless the request carries these: Basic, X-ClickHouse-User/-Key or URL."""
        given_user, given_password = self.values.get("user", "default"), self.values.get("password", "")
        scheme, _, secret = self.header(b"authorization").partition(" ")
        if scheme.lower() == "basic":
            try:
                given_user, _, given_password = base64.b64decode(secret, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                given_user = given_password = ""
        elif b"x-clickhouse-user" in self.headers or b"x-clickhouse-key" in self.headers:
            given_user = self.header(b"x-clickhouse-user") or "default"
            given_password = self.header(b"x-clickhouse-key")
        same_user = hmac.compare_digest(_bytes(given_user), _bytes(user))
        same_password = hmac.compare_digest(_bytes(given_password), _bytes(password))
        if not (same_user and same_password):
            message = f"{given_user}: Authentication failed: password is incorrect, or there is no user with such name."
            raise ClickHouseError.of("AUTHENTICATION_FAILED", message)


def reply_headers(
    request: Request, timezone: str, counts: Counts | None = None, format_name: str | None = None
) -> Headers:
    """The X-ClickHouse headers of a good reply."""
    headers = [
        (b"x-clickhouse-query-id", _header_value(request.query_id)),
        (b"x-clickhouse-timezone", request.settings.get("session_timezone", timezone).encode("latin-1", "replace")),
        (b"x-clickhouse-server-display-name", b"neonblue"),
        (b"x-clickhouse-summary", (counts or Counts()).summary().encode()),
    ]
    if format_name:
        headers.append((b"x-clickhouse-format", format_name.encode()))
        kind = b"application/json; charset=UTF-8" if format_name.startswith("JSON") else b"text/plain; charset=UTF-8"
        headers.append((b"content-type", _TYPES.get(format_name, kind)))
    return headers


def error_reply(request: Request, error: ClickHouseError, version: str) -> tuple[Headers, bytes]:
    """Headers and body of an error before the first byte of a result."""
    headers = [
        (b"x-clickhouse-exception-code", str(error.code).encode()),
        (b"x-clickhouse-query-id", _header_value(request.query_id)),
        (b"content-type", b"text/plain; charset=UTF-8"),
    ]
    return headers, error_text(error, version) + b"\n"


def error_text(error: ClickHouseError, version: str) -> bytes:
    """An error as a server writes it, with the version."""
    text = str(error).strip()
    return _bytes(text if text.endswith("(chDB))") else f"{text} (version {version} (chDB))")


def late_error(error: ClickHouseError, version: str, tag: str) -> bytes:
    """The block that ends a result which failed after its first bytes were sent.

    Its place is found by `tag`, which the header X-ClickHouse-Exception-Tag announced (ClickHouse 25.11 and later).
    """
    text = error_text(error, version) + b"\n"
    name = tag.encode()
    return b"\r\n__exception__\r\n%s\r\n%s%d %s\r\n__exception__\r\n" % (name, text, len(text), name)


def empty_native(columns: Iterable[tuple[str, str]]) -> bytes:
    """A Native block of no rows, which tells a client the columns of an empty result."""
    columns = list(columns)
    parts = [_varint(len(columns)), b"\0"]
    for text in (text for column in columns for text in column):
        parts += [_varint(len(text.encode())), text.encode()]
    return b"".join(parts)


def _varint(number: int) -> bytes:
    return bytes([number & 127 | 128]) + _varint(number >> 7) if number > 127 else bytes([number])


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _header_value(text: str) -> bytes:
    """`text` without what a header cannot carry."""
    return re.sub(r"[^\x20-\x7e]", "?", text).encode()


def _multipart(body: bytes, content_type: str) -> Iterator[tuple[str, bool, bytes]]:
    """Name, whether it is a file, and content of every part (RFC 7578)."""
    found = re.search(r'boundary=(?:"([^"]+)"|([^;\s]+))', content_type)
    if found is None:
        raise ClickHouseError.of("BAD_REQUEST_PARAMETER", "multipart body: Content-Type names no boundary.")
    mark = b"--" + _bytes(found[1] or found[2])
    parts = (b"\r\n" + body).split(b"\r\n" + mark)
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise ClickHouseError.of(
            "BAD_REQUEST_PARAMETER", "multipart body: it does not end with its boundary; was it cut?"
        )
    for part in parts[1:-1]:
        head, gap, data = part.partition(b"\r\n\r\n")
        name = re.search(rb'[;\s]name="((?:[^"\\]|\\.)*)"', head)
        if not gap or name is None:
            raise ClickHouseError.of("BAD_REQUEST_PARAMETER", "multipart body: a part has no name or no blank line.")
        yield name[1].decode(errors="surrogateescape"), b"filename" in head, data


def _split_types(types: str) -> list[str]:
    """ "UInt8, Map(String, UInt8)" at its outer commas."""
    parts, depth, start = [], 0, 0
    for at, sign in enumerate(types):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            parts.append(types[start:at].strip())
            start = at + 1
    return [*parts, types[start:].strip()]
