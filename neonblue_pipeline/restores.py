"""A restore that began: marked in PostgreSQL, which is read-only to everybody else, until all is done. No Dagster.

One that is cut short leaves a part of a backup behind. What would be accepted there is lost with the next restore, and
what is missing looks like loss. The mark is a table that no file of sql/postgres makes: no dump holds it, and what
clears the database spares it. Its comment says what happened and the way out, so that one statement can tell it.
"""

import os
import shlex
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from neonblue_pipeline.settings import Settings

# Of our role only, which may do that without owning the database; it holds for sessions that begin after it.
_READ_ONLY = """
do $$ begin
    execute format('alter role current_user in database %I set default_transaction_read_only = on', current_database());
end $$"""
_WRITABLE = """
do $$ begin
    execute format('alter role current_user in database %I reset default_transaction_read_only', current_database());
end $$"""
# An API that runs nevertheless begins new ones.
_END_SESSIONS_OF_THE_API = """
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and usename = current_user and application_name = 'neonblue_api'"""


def underway(postgres: "psycopg.Connection[Any]") -> str | None:
    """What there is to say while a restore is not over, with the way out; else None."""
    row = postgres.execute("select obj_description(to_regclass('public.restore_underway'), 'pg_class')").fetchone()
    return row[0] if row else None


def erased(postgres: "psycopg.Connection[Any]") -> list[dict[str, Any]]:
    """The ledger of erasures as it was before a restore that is not over; else empty."""
    if underway(postgres) is None:
        return []
    return [entry for (entry,) in postgres.execute("select erased from public.restore_underway").fetchall()]


def writing(settings: Settings) -> Settings:
    """The same servers, for sessions of the restore, which write meanwhile."""
    url = urlsplit(settings.postgres_url)
    parameters = dict(parse_qsl(url.query))
    options = parameters.get("options", os.environ.get("PGOPTIONS", ""))  # the URL's take the place of the other
    parameters["options"] = f"{options} -c default_transaction_read_only=off".strip()
    query = urlencode(parameters, quote_via=quote)  # libpq takes no + for a space
    return settings.model_copy(update={"postgres_url": url._replace(query=query).geturl()})


def begin(postgres: "psycopg.Connection[Any]", folder: Path, ledger: Iterable[dict[str, Any]], clear: str) -> None:
    """Runs `clear`, which spares the mark, in the transaction that makes it; an API writes nothing from then on.

    `ledger`: who was erased, which the backup may not know, as in `erasing.again`.
    """
    told = (
        f"the restore of {folder}, begun {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, is not over; where it was cut "
        f"short, repeat `neonblue restore --overwrite {shlex.quote(str(folder))}`"
    )
    with postgres.transaction(), postgres.cursor() as cursor:
        cursor.execute("drop table if exists public.restore_underway")
        cursor.execute("create table public.restore_underway (erased jsonb not null)")
        cursor.execute(sql.SQL("comment on table public.restore_underway is {}").format(sql.Literal(told)))
        cursor.executemany("insert into public.restore_underway values (%s)", [(Jsonb(entry),) for entry in ledger])
        cursor.execute(_READ_ONLY)
        cursor.execute(clear.encode())
    postgres.execute(_END_SESSIONS_OF_THE_API)


def finish(settings: Settings) -> None:
    """All is done: everybody may write."""
    with psycopg.connect(writing(settings).postgres_url, autocommit=True) as postgres:
        with postgres.transaction():
            postgres.execute("drop table public.restore_underway")
            postgres.execute(_WRITABLE)
        postgres.execute(_END_SESSIONS_OF_THE_API)
