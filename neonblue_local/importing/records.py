"""Rows of CSV, NDJSON and Parquet files as records whose values are JSON text, so that no number is rounded."""

import csv
import itertools
import json
import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw

from neonblue_local.errors import LocalError

Record = dict[str, Raw]
FORMATS = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}
_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, Raw])


class ImportRefused(LocalError):
    """The file or the mapping cannot be imported as it is."""


class UnreadableRow(ValueError):
    """One row that is not of its format; the rest of the file is."""


def format_of(path: Path, stated: str | None) -> str:
    """'csv', 'ndjson' or 'parquet'. Raises ImportRefused."""
    found = stated or FORMATS.get(path.suffix.lower())
    if found not in set(FORMATS.values()):
        raise ImportRefused(f"{path}: the ending does not say what it is; use --format csv, ndjson or parquet")
    return found


def rows(path: Path, kind: str, skip: int) -> Iterator[Record | UnreadableRow]:
    """The rows after the first `skip`. Raises ImportRefused where the file as such cannot be read."""
    if not path.is_file():
        raise ImportRefused(f"{path}: there is no such file")
    reader = {"csv": _csv, "ndjson": _ndjson, "parquet": _parquet}[kind]
    return itertools.islice(reader(path), skip, None)


def _csv(path: Path) -> Iterator[Record | UnreadableRow]:
    """An empty cell is a field that is left out; a cell that is a JSON number, true or false stays one."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            if reader.fieldnames is None or len(set(reader.fieldnames)) != len(reader.fieldnames):
                raise ImportRefused(f"{path}: the first line must name the columns, each once")
            for row in reader:
                if None in row or None in row.values():
                    yield UnreadableRow(f"has not the {len(reader.fieldnames)} cells of the first line")
                else:
                    yield {name: _cell(value) for name, value in row.items() if value != ""}
    except (UnicodeDecodeError, csv.Error) as error:
        raise ImportRefused(f"{path}: not CSV in UTF-8: {error}") from error


def _cell(value: str) -> Raw:
    if value[0] in "-0123456789tf":
        try:
            json.loads(value, parse_constant=_refuse)
        except ValueError:
            return Raw(_encode(value))
        return Raw(value.encode())
    return Raw(_encode(value))


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _ndjson(path: Path) -> Iterator[Record | UnreadableRow]:
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                try:
                    yield _fields.decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    yield UnreadableRow(f"is not a JSON object: {error}")


def _parquet(path: Path) -> Iterator[Record | UnreadableRow]:
    try:
        import pyarrow.parquet
    except ImportError:
        raise ImportRefused(
            "Parquet files are read by pyarrow, which is not installed; `pip install pyarrow`"
        ) from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(10_000):
                for row in batch.to_pylist():
                    yield _of_parquet(row)
    except (pyarrow.ArrowException, TypeError, UnicodeDecodeError) as error:
        raise ImportRefused(f"{path}: {error}") from error


def _of_parquet(row: dict[str, Any]) -> Record | UnreadableRow:
    """A null or nan is a field that is left out, as an empty cell of CSV is."""
    made: Record = {}
    for name, value in row.items():
        try:
            plain = _plain(value)
        except UnreadableRow as refused:
            return UnreadableRow(f"has in {name!r} {refused}")
        if plain is not None:
            made[name] = Raw(_encode(plain))
    return made


def _plain(value: Any) -> Any:
    """A Parquet value as JSON has it: times in UTC, decimals with all their digits; nan is null.

    Raises UnreadableRow for what JSON or PostgreSQL would change.
    """
    if isinstance(value, bytes):
        raise UnreadableRow(f"{len(value)} bytes, which are no text; write them as text, or drop the column")
    if isinstance(value, datetime):
        if getattr(value, "nanosecond", 0):
            raise UnreadableRow(f"the time {value}; at most microseconds are kept")
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return Raw(str(value).encode())
    if isinstance(value, float) and not math.isfinite(value):
        if math.isinf(value):
            raise UnreadableRow("an infinite number, which is not JSON")
        return None
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
