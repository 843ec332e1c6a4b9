"""After a restore: who was erased since the backup was made is in it, and is erased once more.

The ledger knows people by a keyed hash only, so everybody in the restored databases is hashed and looked up.
"""

import hmac
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg

from neonblue_pipeline import clickhouse as clickhouse_client
from neonblue_pipeline import restores
from neonblue_pipeline.erasing import facts
from neonblue_pipeline.errors import BackupError
from neonblue_pipeline.settings import Settings

Ledger = list[dict[str, Any]]
_COLUMNS = ("subject", "key_name", "requested_at", "requested_by", "request_id", "finished_at")
# Its hash names a key: subject_key_name of sql/postgres/062.
_KEY_NAME_OF = b"key name " * 32
_ADD = """
    insert into erasures (subject, key_name, requested_at, requested_by, request_id, finished_at)
    values (decode(%(subject)s, 'hex'), %(key_name)s, %(requested_at)s, %(requested_by)s, %(request_id)s,
            %(finished_at)s)
    on conflict (subject) do nothing"""
# In ClickHouse are people whose days PostgreSQL dropped long ago. The hash is that of user_subject (sql/postgres/062).
_OLD = """
    select distinct user_id from (
        select user_id from events_rows union all select user_id from assignments_rows
        union all select key as user_id from landing_rows where aggregate_type in ('event', 'assignment')
    ) where hex(SHA256(concat(unhex({outer:String}), SHA256(concat(unhex({inner:String}), user_id)))))
          in (select upper(arrayJoin({subjects:Array(String)})))"""
_OPEN_AGAIN = """
    with everybody as (
        select user_id from users union select user_id from assignments union select user_id from events
        union select user_id from unnest(%(old)s::text[]) as user_id
    )
    select count(request_erasure(user_id, 'neonblue restore', null, true)) from everybody where is_erased(user_id)"""


def read(settings: Settings) -> Ledger:
    """The ledger of erasures of this PostgreSQL; empty before the first setup.

    While a restore is not over that of before it is in it, too.
    """
    with psycopg.connect(settings.postgres_url) as postgres:
        kept = restores.erased(postgres)
        if (postgres.execute("select to_regclass('public.erasures')").fetchone() or (None,))[0] is None:
            return kept
        rows = postgres.execute(
            """select encode(subject, 'hex'), key_name, requested_at::text, requested_by, request_id, finished_at::text
               from erasures order by erasure_id"""
        ).fetchall()
    found = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    known = {entry["subject"] for entry in found}
    return found + [entry for entry in kept if entry["subject"] not in known]


def written(ledger: Ledger) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in ledger)


def read_file(path: Path) -> Ledger:
    """What `neonblue privacy ledger` wrote. Raises BackupError."""
    try:
        found: Ledger = [json.loads(line) for line in path.read_text().splitlines() if line]
        if any(set(entry) != set(_COLUMNS) for entry in found):
            raise ValueError("a line has other fields")
    except (OSError, ValueError) as error:
        raise BackupError(f"{path} is no ledger of erasures ({error}); `neonblue privacy ledger` writes one") from error
    return found


def demand_key(settings: Settings, ledger: Ledger) -> None:
    """Raises BackupError where people were erased under another key than ours: they would not be known again."""
    mine = hmac.digest(settings.privacy_key_text.encode(), _KEY_NAME_OF, "sha256").hex()[:16]
    if others := {entry["key_name"] for entry in ledger} - {mine}:
        raise BackupError(
            "people were erased under another NEONBLUE_PRIVACY_KEY and would not be known again; write the key of then "
            "into neonblue.env, or set it before the first start of a new stack, and restore again "
            f"(hash of that key: {', '.join(sorted(others))}; of the one here: {mine})"
        )


def add(settings: Settings, ledger: Iterable[dict[str, Any]]) -> None:
    """Entries that this ledger lacks."""
    with psycopg.connect(settings.postgres_url) as postgres, postgres.cursor() as cursor:
        cursor.executemany(_ADD, list(ledger))


def open_again(settings: Settings) -> int:
    """Opens the erasure of everybody who is in the ledger and in a database; returns how many. Safe to repeat."""
    with psycopg.connect(settings.postgres_url, autocommit=True) as postgres:
        row = postgres.execute("select count(*) from erasures").fetchone()
        if not row or not row[0]:
            return 0
        facts.say_key(settings, postgres)
        pads = postgres.execute("select encode(pads_if_needed(), 'hex')").fetchone()
        subjects = postgres.execute("select encode(subject, 'hex') from erasures").fetchall()
        assert pads is not None
        with clickhouse_client.connect(settings, "neonblue_pipeline erasing") as clickhouse:
            old = clickhouse.rows(
                _OLD, {"inner": pads[0][:128], "outer": pads[0][128:], "subjects": [subject for (subject,) in subjects]}
            )
        opened = postgres.execute(_OPEN_AGAIN, {"old": [user for (user,) in old]}).fetchone()
        assert opened is not None
        return opened[0]
