"""From the columns of a file to the fields of the API."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID, uuid5

import msgspec
from msgspec import Raw

from neonblue_local.importing.records import ImportRefused, Record

_NULL = Raw(b"null")
_EVENT_IDS = UUID("0f5c1f5e-35a5-5c5b-8a0e-6f3f8a1d9e11")
_encode = msgspec.json.Encoder().encode
_as_text = msgspec.json.Decoder(str)


@dataclass(frozen=True)
class Kind:
    """What can be imported: the fields of a record, and which of them is an open object."""

    name: str
    fields: frozenset[str]
    required: frozenset[str]
    open_field: str | None
    texts: frozenset[str] = frozenset()
    json_cells: frozenset[str] = frozenset()


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "events",
            frozenset({"id", "user_id", "event_type", "timestamp", "experiment", "properties", "session_id"}),
            frozenset({"user_id", "event_type"}),
            "properties",
            frozenset({"id", "user_id", "event_type", "timestamp", "experiment", "session_id"}),
            frozenset({"properties"}),
        ),
        Kind(
            "assignments",
            frozenset({"experiment", "user_id", "variant_key", "assigned_at", "source", "attributes"}),
            frozenset({"experiment", "user_id", "variant_key"}),
            "attributes",
            frozenset({"experiment", "user_id", "variant_key", "assigned_at", "source"}),
            frozenset({"attributes"}),
        ),
        Kind(
            "users",
            frozenset({"user_id", "attributes"}),
            frozenset({"user_id"}),
            "attributes",
            frozenset({"user_id"}),
            frozenset({"attributes"}),
        ),
        Kind(
            "experiments",
            frozenset({"key", "name", "description", "seed", "coverage", "variants", "metrics"}),
            frozenset({"key"}),
            None,
            frozenset({"key", "name", "description", "seed"}),
            frozenset({"variants", "metrics"}),
        ),
    )
}


@dataclass
class Mapping:
    """Which column becomes which field. `rest` says what happens to the others: 'refuse', 'keep' or 'drop'."""

    kind: Kind
    columns: dict[str, str] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    rest: str = "refuse"

    def __post_init__(self) -> None:
        for target in (*self.columns.values(), *self.constants):
            self._check_target(target)
        if self.rest == "keep" and self.kind.open_field is None:
            raise ImportRefused(f"--rest keep: {self.kind.name} have no field for further columns; use --rest drop")

    def _check_target(self, target: str) -> None:
        head, dot, name = target.partition(".")
        if (dot and (head != self.kind.open_field or not name)) or head not in self.kind.fields:
            more = f" and {self.kind.open_field}.NAME" if self.kind.open_field else ""
            raise ImportRefused(
                f"{target!r} is no field of {self.kind.name}; these have {', '.join(sorted(self.kind.fields))}{more}"
            )

    def record(self, row: Record) -> Record:
        """The row as the API takes it. Raises ImportRefused for a column that nothing is said about."""
        made: Record = {target: Raw(_encode(value)) for target, value in self.constants.items() if "." not in target}
        opened: Record = {t.partition(".")[2]: Raw(_encode(v)) for t, v in self.constants.items() if "." in t}
        for column, value in row.items():
            target = self.columns.get(column, column)
            head, dot, name = target.partition(".")
            if dot and head == self.kind.open_field and (column in self.columns or head not in row):
                opened[name] = value
            elif target in self.kind.fields:
                made[target] = self._fitting(target, value)
            elif self.rest == "keep":
                opened[column] = value
            elif self.rest == "refuse":
                raise ImportRefused(
                    f"column {column!r} is no field of {self.kind.name}; "
                    f"say --map '{column}=FIELD', or --rest drop"
                    + (f", or --rest keep to have it in {self.kind.open_field}" if self.kind.open_field else "")
                )
        if opened and self.kind.open_field:
            whole = msgspec.json.decode(made.get(self.kind.open_field, b"{}"), type=dict[str, Raw])
            made[self.kind.open_field] = Raw(_encode(whole | opened))
        return made

    def _fitting(self, target: str, value: Raw) -> Raw:
        """A number in a column of texts (a user 17) is its text; a text in a column of JSON is the JSON it holds."""
        raw = bytes(value)
        if target in self.kind.texts and raw[:1] in b"-0123456789tf" and raw[:1] != b"":
            return Raw(_encode(raw.decode()))
        if target in self.kind.json_cells and raw[:1] == b'"':
            return Raw(_as_text.decode(raw).encode())
        return value


def with_event_ids(records: Iterable[tuple[int, Record]], file_id: str) -> list[tuple[int, Record]]:
    """Events without an id, or with null, get one that follows from file and row: imported again, they are known."""

    def made(number: int) -> Record:
        return {"id": Raw(_encode(uuid5(_EVENT_IDS, f"{file_id}/{number}")))}

    return [(n, record | made(n) if record.get("id", _NULL) == _NULL else record) for n, record in records]


def fingerprint(content: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in content:
        digest.update(chunk)
    return digest.hexdigest()
