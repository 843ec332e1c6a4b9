"""Recoveries that began: one at a time; one that broke off is known until another has finished its work. No Dagster.

A repair takes away what showed that something was lost: a new slot looks like any slot. So what was found is written
down before the first repair, and stays open until all that was lost has arrived.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from neonblue_pipeline import locks
from neonblue_pipeline.errors import RecoveryError
from neonblue_pipeline.settings import Settings

_LOCK = "recovery"


class Recovery:
    """The one recovery that is at work."""

    def __init__(self, postgres: "psycopg.Connection[Any]") -> None:
        self._postgres = postgres

    def begin(self, found: str) -> None:
        """Keeps what was found, before anything of it is repaired."""
        self._postgres.execute("insert into recoveries (found) values (%s)", (found,))

    def finish(self) -> None:
        """Everything that was lost has arrived: by this recovery, or by one that broke off."""
        self._postgres.execute("update recoveries set finished_at = now() where finished_at is null")


@contextmanager
def alone(settings: Settings, tell: Callable[[str], None]) -> Iterator[Recovery]:
    """The right to repair, once no other process has it. Raises RecoveryError before the first setup."""
    with psycopg.connect(settings.postgres_url, autocommit=True, connect_timeout=5) as postgres:
        if not _known(postgres):
            raise RecoveryError("PostgreSQL lacks the table `recoveries`: `neonblue up` or the job `setup` makes it")
        if not locks.try_take(postgres, _LOCK):
            tell("another recovery is at work: waiting for its end")
            locks.take(postgres, _LOCK)
        yield Recovery(postgres)


def broken_off(settings: Settings) -> str | None:
    """What recoveries that are no longer at work found and did not finish; None if there are none."""
    with psycopg.connect(settings.postgres_url, autocommit=True, connect_timeout=5) as postgres:
        # The connection's end gives the lock back.
        if not _known(postgres) or not locks.try_take(postgres, _LOCK):
            return None
        rows = postgres.execute(
            "select begun_at, found from recoveries where finished_at is null order by recovery_id"
        ).fetchall()
    return "; ".join(f"{found} (begun {begun:%Y-%m-%d %H:%M:%S})" for begun, found in rows) or None


def _known(postgres: "psycopg.Connection[Any]") -> bool:
    row = postgres.execute("select to_regclass('recoveries') is not null").fetchone()
    return bool(row and row[0])
