"""The audit log read whole and every hash of it recomputed, outside PostgreSQL; and entries of commands. No Dagster.

The hashes are defined in sql/postgres/100_audit.sql. A chain proves that nothing before its end was altered; that its
end was not cut off, or the whole made anew, is proven by an end that was noted elsewhere before.
"""

import getpass
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from neonblue_pipeline.errors import AuditError
from neonblue_pipeline.settings import Settings

# Texts exactly as they were hashed.
_ENTRIES = """
    select number, utc_text(at), actor, actor_id::text, request_id, action, subject_type, subject, before::text,
           after::text, encode(salt, 'hex'), encode(content_sha256, 'hex'), encode(entry_sha256, 'hex')
    from audit_log order by number"""
_AT_ONCE = 5_000


@dataclass(frozen=True)
class Head:
    """An entry that was noted, as NUMBER:HASH."""

    number: int
    entry_sha256: str

    def __str__(self) -> str:
        return f"{self.number}:{self.entry_sha256}"


@dataclass(frozen=True)
class Broken:
    """The first entry at which the log is not what was written."""

    number: int
    what: str


@dataclass(frozen=True)
class Proof:
    """`head` is the last entry of those that are whole, None if there is none; `broken` is the one after it."""

    blanked: int
    head: Head | None
    broken: Broken | None

    @property
    def entries(self) -> int:
        """How many were read and are whole: their numbers have no gap."""
        return self.head.number if self.head else 0


def read_head(text: str) -> Head:
    """Raises AuditError unless `text` is what `neonblue audit verify` prints as the end."""
    found = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", text.strip())
    if found is None:
        raise AuditError(f"{text[:100]!r} is no end of an audit log; `neonblue audit verify` prints it as NUMBER:HASH")
    return Head(int(found[1]), found[2])


def verify(settings: Settings, noted: Head | None = None) -> Proof:
    """Reads everything, in one transaction: what is written meanwhile is not looked at."""
    with psycopg.connect(settings.postgres_url, connect_timeout=5) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        if connection.execute("select to_regclass('audit_log')::text").fetchone() == (None,):
            raise AuditError(
                "PostgreSQL has no table audit_log; `python -m neonblue_pipeline.setup` applies sql/postgres"
            )
        return _prove(_entries(connection), noted)


def digest(*fields: str | None) -> str:
    """SHA-256, hexadecimal, over fields of which none can be mistaken for another."""
    parts = ["-" if field is None else f"{len(field.encode())}:{field}" for field in fields]
    return hashlib.sha256(",".join(parts).encode()).hexdigest()


class _Entry(NamedTuple):
    """A row of _ENTRIES."""

    number: int
    at: str
    actor: str
    actor_id: str | None
    request_id: str | None
    action: str
    subject_type: str
    subject: str | None
    before: str | None
    after: str | None
    salt: str | None
    content_sha256: str
    entry_sha256: str

    def wrong_after(self, last: Head | None, noted: Head | None) -> str | None:
        """What is wrong with it as the entry that follows `last`."""
        if self.salt is None:
            if (self.subject, self.before, self.after) != (None, None, None):
                return "its salt is missing"
        elif digest(self.salt, self.subject, self.before, self.after) != self.content_sha256:
            return "subject, before or after are not those that were written"
        told = (self.at, self.actor, self.actor_id, self.request_id, self.action, self.subject_type)
        before_it = last.entry_sha256 if last else None
        if digest(before_it, str(self.number), *told, self.content_sha256) != self.entry_sha256:
            return "it is not what was written, or not after the entry before it"
        if noted is not None and self.number == noted.number and self.entry_sha256 != noted.entry_sha256:
            return f"its hash is {self.entry_sha256}, noted was {noted.entry_sha256}: the log was made anew"
        return None


def _entries(connection: "psycopg.Connection[Any]") -> Iterator[_Entry]:
    with connection.cursor("audit_log") as cursor:
        cursor.itersize = _AT_ONCE
        yield from map(_Entry._make, cursor.execute(_ENTRIES))


def _prove(entries: Iterator[_Entry], noted: Head | None) -> Proof:
    """Stops at the first entry that is broken."""
    head: Head | None = None
    blanked: set[int] = set()
    named: set[int] = set()
    for entry in entries:
        expected = head.number + 1 if head else 1
        if entry.number != expected:
            return Proof(len(blanked), head, Broken(expected, f"it is missing: the next one is {entry.number}"))
        if wrong := entry.wrong_after(head, noted):
            return Proof(len(blanked), head, Broken(entry.number, wrong))
        head = Head(entry.number, entry.entry_sha256)
        if entry.salt is None:
            blanked.add(entry.number)
        if (entry.action, entry.subject_type) == ("blank", "audit"):
            named |= set(json.loads(entry.after or "{}").get("entries", ()))
    end = head.number if head else 0
    if unnamed := blanked - named:
        return Proof(len(blanked), head, Broken(min(unnamed), "it was blanked, and no entry says so"))
    if noted is not None and noted.number > end:
        return Proof(len(blanked), head, Broken(end + 1, f"it is missing: {noted.number} entries were noted"))
    return Proof(len(blanked), head, None)


def record(
    connection: "psycopg.Connection[Any]", action: str, subject_type: str, subject: str | None, after: dict[str, Any]
) -> None:
    """An entry of a command, under the name of the user of the operating system who gave it.

    A schema from before the audit log has none: `neonblue backup` serves it, too.
    """
    if connection.execute("select to_regclass('audit_log')::text").fetchone() != (None,):
        connection.execute(
            "select record_audit(%s, %s, %s, %s, null, %s, null)",
            (f"command of {getpass.getuser()}", action, subject_type, subject, json.dumps(after)),
        )


def restored_at(connection: "psycopg.Connection[Any]") -> datetime | None:
    """When a backup was last restored over the log."""
    (at,) = connection.execute(
        "select max(at) from audit_log where action = 'restore' and subject_type = 'backup'"
    ).fetchone() or (None,)
    return at
