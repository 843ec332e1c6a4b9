"""Erasing and sending again exclude each other: else a row could be read before it is erased, and written after it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from neonblue_pipeline import locks
from neonblue_pipeline.errors import ErasureHeld
from neonblue_pipeline.settings import Settings

_LOCK = "erasure"
_LOOK_EVERY_S = 0.2


@contextmanager
def alone(settings: Settings, patience_s: float = 30) -> Iterator[None]:
    """While an erasure works. Raises ErasureHeld when facts are being sent again for longer than that.

    It never waits in PostgreSQL's queue: those that come after it are not kept waiting by it.
    """
    with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
        deadline = time.monotonic() + patience_s
        while not locks.try_take(connection, _LOCK):
            if time.monotonic() > deadline:
                raise ErasureHeld("facts are being sent again, or another process erases; the erasure goes on after it")
            time.sleep(_LOOK_EVERY_S)
        yield


@contextmanager
def beside(settings: Settings) -> Iterator[None]:
    """While facts are sent again; several at once. Waits for an erasure at work."""
    with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
        locks.take_shared(connection, _LOCK)
        yield
