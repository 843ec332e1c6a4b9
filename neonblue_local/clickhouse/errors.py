"""The error that a client of the embedded ClickHouse sees: ClickHouse's own code and text, and its HTTP status."""

import re

_CODE = re.compile(r"Code: (\d+)\. ")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)[.\s]*$")

# Which status a server answers with, by the error's name: ClickHouse src/Server/HTTP/exceptionCodeToHTTPStatus.cpp.
# What is not listed is 500. Some names are the gateway's own.
_STATUS_OF_NAMES = {
    401: "REQUIRED_PASSWORD",
    403: "UNKNOWN_USER WRONG_PASSWORD AUTHENTICATION_FAILED SET_NON_GRANTED_ROLE ACCESS_DENIED",
    400: "BAD_ARGUMENTS CANNOT_COMPILE_REGEXP CANNOT_PARSE_TEXT CANNOT_PARSE_ESCAPE_SEQUENCE "
    "CANNOT_PARSE_QUOTED_STRING CANNOT_PARSE_DATE CANNOT_PARSE_DATETIME CANNOT_PARSE_NUMBER "
    "CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING CANNOT_PARSE_IPV4 CANNOT_PARSE_IPV6 "
    "CANNOT_PARSE_INPUT_ASSERTION_FAILED CANNOT_PARSE_UUID DUPLICATE_COLUMN ILLEGAL_COLUMN "
    "UNKNOWN_ELEMENT_IN_AST UNKNOWN_TYPE_OF_AST_NODE THERE_IS_NO_COLUMN TOO_DEEP_AST TOO_BIG_AST "
    "UNEXPECTED_AST_STRUCTURE SYNTAX_ERROR INCORRECT_DATA TYPE_MISMATCH "
    "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE BAD_QUERY_PARAMETER CANNOT_DECOMPRESS INTO_OUTFILE_NOT_ALLOWED "
    "INVALID_SESSION_TIMEOUT BAD_REQUEST_PARAMETER",
    404: "UNKNOWN_TABLE UNKNOWN_FUNCTION UNKNOWN_IDENTIFIER UNKNOWN_TYPE UNKNOWN_STORAGE UNKNOWN_DATABASE "
    "UNKNOWN_SETTING UNKNOWN_DIRECTION_OF_SORTING UNKNOWN_AGGREGATE_FUNCTION UNKNOWN_FORMAT "
    "UNKNOWN_DATABASE_ENGINE UNKNOWN_TYPE_OF_QUERY UNKNOWN_ROLE SESSION_NOT_FOUND",
    408: "TIMEOUT_EXCEEDED",
    413: "QUERY_IS_TOO_LARGE TOO_MANY_BYTES",
    501: "NOT_IMPLEMENTED",
    503: "SOCKET_TIMEOUT CANNOT_OPEN_FILE CANNOT_SCHEDULE_TASK TOO_MANY_SIMULTANEOUS_QUERIES",
}
_STATUS = {name: status for status, names in _STATUS_OF_NAMES.items() for name in names.split()}

# Numbers of the errors that the gateway itself raises (ClickHouse src/Common/ErrorCodes.cpp).
_CODES = {
    "BAD_ARGUMENTS": 36,
    "NOT_IMPLEMENTED": 48,
    "SYNTAX_ERROR": 62,
    "UNKNOWN_SETTING": 115,
    "READONLY": 164,
    "TOO_MANY_SIMULTANEOUS_QUERIES": 202,
    "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING": 216,
    "TOO_MANY_BYTES": 307,
    "INTO_OUTFILE_NOT_ALLOWED": 348,
    "SESSION_NOT_FOUND": 372,
    "SESSION_IS_LOCKED": 373,
    "CANNOT_DECOMPRESS": 374,
    "INVALID_SESSION_TIMEOUT": 380,
    "QUERY_WAS_CANCELLED": 394,
    "AUTHENTICATION_FAILED": 516,
    "BAD_REQUEST_PARAMETER": 524,
}


class ClickHouseError(Exception):
    """An error as a ClickHouse server words it: "Code: 60. DB::Exception: … (UNKNOWN_TABLE)".

    Attributes:
        code: ClickHouse's number; 1002 (UNKNOWN_EXCEPTION) when the text has none.
        status: the HTTP status that a ClickHouse server answers with.
    """

    def __init__(self, text: str, *, code: int, status: int) -> None:
        super().__init__(text)
        self.code = code
        self.status = status

    @classmethod
    def of(cls, name: str, message: str) -> "ClickHouseError":
        """An error that the gateway itself raises, under one of ClickHouse's names (a KeyError for an unknown one)."""
        code = _CODES[name]
        return cls(f"Code: {code}. DB::Exception: {message} ({name})", code=code, status=_STATUS.get(name, 500))

    @classmethod
    def from_engine(cls, error: Exception) -> "ClickHouseError":
        """What chDB raised: its text may have words in front of "Code:", and they are dropped.

        A text that quotes bytes of a value is no UTF-8, which chDB cannot tell in Python: they become U+FFFD, and an
        older Python loses the whole text.
        """
        text = error.object.decode(errors="replace") if isinstance(error, UnicodeDecodeError) else str(error)
        text = text or "the engine's reason quotes bytes that are no UTF-8, and this Python cannot tell it"
        found = _CODE.search(text)
        if found is None:
            return cls(f"Code: 1002. DB::Exception: {text} (UNKNOWN_EXCEPTION)", code=1002, status=500)
        text = text[found.start() :].strip()
        name = _NAME.search(text)
        return cls(text, code=int(found[1]), status=_STATUS.get(name[1], 500) if name else 500)
