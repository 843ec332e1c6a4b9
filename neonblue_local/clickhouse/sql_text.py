"""What a statement is, found from its tokens alone: kind, FORMAT, where an INSERT's data begin, what must be refused.

The engine is the only parser of SQL. This file looks at words outside quotes, comments and brackets, just far enough to
route a statement: an INSERT's data travel through a file, a SELECT's result through a pipe, and some statements would
end or hang an engine that lives inside this process.
"""

import re
from dataclasses import dataclass
from enum import Enum

from neonblue_local.clickhouse.errors import ClickHouseError

# Tokens as in ClickHouse src/Parsers/Lexer.cpp. Bytes, since a literal may hold any.
_TOKEN = re.compile(
    rb"""(?P<blank>\s+|--[^\n]*|\#[!\ ][^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<word>[A-Za-z_]\w*)
    |(?P<number>\d[\d.,\s]*)
    |(?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)
_FORMAT_NAME = re.compile(rb"\s+([A-Za-z]\w*)")
_DATA_GAP = re.compile(rb"[ \t\f\r]*\n?")

_SELECTS = {"SELECT", "WITH", "FROM"}
_READS = _SELECTS | {"SHOW", "DESC", "DESCRIBE", "EXISTS", "EXPLAIN", "CHECK"}
_REFUSED = {
    ("NAMED", "COLLECTION"): "named collections abort the embedded engine: write the values into the table's SETTINGS",
    ("SYSTEM", "SHUTDOWN"): "it would end the whole process: stop it with SIGTERM",
    ("SYSTEM", "KILL"): "it would end the whole process: stop it with SIGTERM",
    ("PYTHON", "("): "Python objects of the gateway's own process are not data",
}
# Without these no connection opens any more.
_KEPT_DATABASE = re.compile(
    rb"\s*(?i:(DROP|DETACH|RENAME)\s+DATABASE\s+(?:IF\s+EXISTS\s+)?)[`\"]?(default|system)[`\"]?\s*(?:;|\Z|[A-Z])"
)


class Kind(Enum):
    """How a statement must be run."""

    SELECT = "its rows are streamed"
    INSERT = "its data follow the text"
    OTHER = "its reply is small"


@dataclass(frozen=True)
class Statement:
    """One statement.

    Attributes:
        text: without FORMAT clause (SELECT), data (INSERT) or closing semicolon.
        first: its first word in capitals, "(" for a select in brackets.
        format: the name after FORMAT, "Values" after VALUES, None if not said.
        settings: the SETTINGS clause that stood after FORMAT (SELECT) or before it (INSERT), else empty.
        data_at: offset of an INSERT's first byte of data in what was parsed.
        temporary: True for CREATE TEMPORARY TABLE.
    """

    text: bytes
    kind: Kind
    first: str
    format: str | None = None
    settings: bytes = b""
    data_at: int = 0
    temporary: bool = False

    @property
    def reads_only(self) -> bool:
        """True if it cannot change data (judged by its first word)."""
        return self.kind is Kind.SELECT or self.first in _READS

    @property
    def has_result(self) -> bool:
        """True if a client may expect rows."""
        return self.reads_only or self.first in {"KILL", "BACKUP", "RESTORE", "EXECUTE"}

    @property
    def changes_session(self) -> bool:
        """True if a later statement of the same session may depend on it."""
        return self.first in {"SET", "USE"} or self.temporary


@dataclass(frozen=True)
class _Word:
    name: str
    start: int
    end: int


def parse(sql: bytes) -> Statement:
    """What `sql` is. An INSERT's data may follow in the same bytes, cut anywhere.

    Raises:
        ClickHouseError: SYNTAX_ERROR for nothing or for several statements; NOT_IMPLEMENTED for what would end or hang
            the engine; INTO_OUTFILE_NOT_ALLOWED.
    """
    words: list[_Word] = []  # outside brackets
    depth, first, before, end, settings_at = 0, "", "", len(sql), 0
    for token in _TOKEN.finditer(sql):
        kind = token.lastgroup
        if kind == "blank":
            continue
        now = token[0].decode("latin-1").upper() if kind in ("word", "sign") else ""
        if end < len(sql) and now != ";":
            raise ClickHouseError.of("SYNTAX_ERROR", "Multi-statements are not allowed: send one statement a request.")
        first = first or now or "literal"
        if now == ";":
            end = min(end, token.start())
        elif now in "()[]{}" and kind == "sign":
            depth += 1 if now in "([{" else -1
        if (before, now) in _REFUSED:
            why = _REFUSED[before, now]
            raise ClickHouseError.of("NOT_IMPLEMENTED", f"{before} {now} is refused by the embedded ClickHouse: {why}.")
        if (before, now) == ("INTO", "OUTFILE"):
            raise ClickHouseError.of(
                "INTO_OUTFILE_NOT_ALLOWED", "INTO OUTFILE is not allowed over HTTP: save the reply."
            )
        if kind == "word" and depth == 0:
            if first == "INSERT" and before != ".":
                if now in ("VALUES", "FORMAT"):
                    return _insert(sql, token, now, settings_at)
                if now == "SETTINGS":
                    settings_at = token.start()
                elif now == "INFILE":
                    message = "INFILE is read by a client, not by the server: send the data as the request's body."
                    raise ClickHouseError.of("NOT_IMPLEMENTED", message)
                elif now in ("SELECT", "WITH", "WATCH"):
                    first = "INSERT SELECT"
            words.append(_Word(now, token.start(), token.end()))
        before = now
    if not first or first == ";":
        raise ClickHouseError.of("SYNTAX_ERROR", "Empty query.")
    if found := _KEPT_DATABASE.match(sql):
        what = f"{found[1].decode().upper()} DATABASE {found[2].decode()}"
        message = (
            f"{what} is refused by the embedded ClickHouse: without it no connection opens. Drop its tables instead."
        )
        raise ClickHouseError.of("NOT_IMPLEMENTED", message)
    if first == "KILL" and words[-1].name == "SYNC":
        message = "KILL … SYNC never returns in the embedded ClickHouse: leave SYNC out."
        raise ClickHouseError.of("NOT_IMPLEMENTED", message)
    return _statement(sql, end, first, words)


def _insert(sql: bytes, token: re.Match[bytes], word: str, settings_at: int) -> Statement:
    """INSERT whose data begin after `token`, which is VALUES or FORMAT."""
    if word == "VALUES":
        name, data_at = "Values", token.end()
    else:
        found = _FORMAT_NAME.match(sql, token.end())
        if found is None:
            raise ClickHouseError.of("SYNTAX_ERROR", "FORMAT without a name: write FORMAT Native, CSV, JSONEachRow, …")
        gap = _DATA_GAP.match(sql, found.end())
        name, data_at = found[1].decode(), gap.end() if gap else found.end()
    head = sql[: token.start()]
    text, settings = (head[:settings_at], head[settings_at:]) if settings_at else (head, b"")
    return Statement(text, Kind.INSERT, "INSERT", name, settings, data_at)


def _statement(sql: bytes, end: int, first: str, words: list[_Word]) -> Statement:
    """A statement without data; its FORMAT clause, if any, is the last one or the last but SETTINGS."""
    names = [word.name for word in words]
    kind = Kind.SELECT if first in _SELECTS | {"("} and "INSERT" not in names else Kind.OTHER
    name, text, settings = None, sql[:end], b""
    at = len(names) - 1 - names[::-1].index("FORMAT") if "FORMAT" in names else len(names)
    if at + 1 < len(words) and names[at + 2 : at + 3] in ([], ["SETTINGS"]):
        name = sql[words[at + 1].start : words[at + 1].end].decode()
        if kind is Kind.SELECT:
            text, settings = sql[: words[at].start], sql[words[at + 1].end : end]
    temporary = first == "CREATE" and "TEMPORARY" in names[:4]
    return Statement(text, kind, first, name, settings, temporary=temporary)
