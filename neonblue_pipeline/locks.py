"""Locks between processes, kept by PostgreSQL, which frees those of a connection that ends."""

from typing import Any

import psycopg

_KEY = "hashtext('neonblue ' || %s)"


def take(connection: "psycopg.Connection[Any]", name: str) -> None:
    """Waits for the lock. Raises LockNotAvailable of psycopg where the connection has a lock_timeout."""
    connection.execute(f"select pg_advisory_lock({_KEY})".encode(), (name,))


def take_shared(connection: "psycopg.Connection[Any]", name: str) -> None:
    """Waits until nobody has the lock but those who share it."""
    connection.execute(f"select pg_advisory_lock_shared({_KEY})".encode(), (name,))


def try_take(connection: "psycopg.Connection[Any]", name: str) -> bool:
    """True if nobody had the lock; does not wait."""
    row = connection.execute(f"select pg_try_advisory_lock({_KEY})".encode(), (name,)).fetchone()
    return bool(row and row[0])


def try_take_in_transaction(connection: "psycopg.Connection[Any]", name: str) -> bool:
    """As `try_take`, and free with the commit: the end of a connection is seen a moment after it."""
    row = connection.execute(f"select pg_try_advisory_xact_lock({_KEY})".encode(), (name,)).fetchone()
    return bool(row and row[0])


def give_back(connection: "psycopg.Connection[Any]", name: str) -> None:
    """Frees the lock before the connection ends."""
    connection.execute(f"select pg_advisory_unlock({_KEY})".encode(), (name,))
