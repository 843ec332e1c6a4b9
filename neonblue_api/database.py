"""PostgreSQL for the routes: one pool, transactions that retry what can be retried, and a 503 in time for the rest."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
from psycopg.types.string import TextLoader
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from neonblue_api.disk import Disk
from neonblue_api.errors import DatabaseUnavailable, PrivacyKeyMissing
from neonblue_api.monitoring import watch_pool
from neonblue_api.settings import Settings

T = TypeVar("T")
logger = logging.getLogger(__name__)

_TRIES = 4
_LONGEST_QUEUE = 10.0
_RACES = {"40001", "40P01"}  # serialization failure, deadlock: the whole transaction is simply run again
_NO_KEY = "55000"  # said by sql/postgres/062 alone: people were erased, and this API cannot know them again
_MISSING = {"42P01", "42883", "42703", "3F000", "3D000"}  # undefined table, function, column, schema, database


class Database:
    """Holds the pool. Opens no connection before it is asked for something."""

    def __init__(self, settings: Settings) -> None:
        url = make_url(settings.postgres_url.get_secret_value()).set(drivername="postgresql+psycopg")
        self.deadline = settings.database_deadline
        key = settings.privacy_key.get_secret_value() if settings.privacy_key else ""
        self._engine = create_async_engine(
            url,
            pool_size=settings.pool_size,
            max_overflow=0,
            pool_timeout=settings.pool_timeout,
            pool_use_lifo=True,
            hide_parameters=True,  # an error that is logged names no user
            connect_args={
                "connect_timeout": 2,
                "application_name": "neonblue_api",
                # A host that vanished tells nothing: its connections are given up in seconds, not in hours.
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
                "options": f"-c statement_timeout={int(settings.statement_timeout * 1000)} -c timezone=UTC"
                + (f" -c neonblue.privacy_key={key}" if key else ""),
            },
        )
        # In autocommit a call is one round trip that has committed when it answers; both share the one pool.
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._turns = asyncio.Semaphore(max(1, settings.pool_size // 2))
        self._got_on = 0.0
        self.disk = Disk(self.call, settings.min_free_disk)
        self._left_alone: set[asyncio.Future[Any]] = set()
        event.listen(self._engine.sync_engine, "connect", _plain_json)
        watch_pool(self._engine.sync_engine, settings.pool_size)

    async def close(self) -> None:
        await self._engine.dispose()

    async def transact(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Runs `work` in a transaction that is committed when this returns. `work` may run several times.

        Raises DatabaseUnavailable within the deadline of the settings.
        """

        async def attempt() -> T:
            async with self._engine.begin() as connection:
                return await work(connection)

        return await self._in_time(attempt, self._until(self.deadline))

    async def call(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T:
        """Runs `work` on the driver's connection in autocommit: the short way for what one statement can do."""
        return await self._in_time(self._on_driver(work), self._until(self.deadline))

    def _until(self, seconds: float) -> Callable[[], float]:
        """Counts down from now."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        return lambda: end - loop.time()

    def _on_driver(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
        async def attempt() -> T:
            async with self._autocommit.connect() as connection:
                pooled = await connection.get_raw_connection()
                driver = pooled.driver_connection
                assert isinstance(driver, psycopg.AsyncConnection)
                try:
                    return await work(driver)
                except psycopg.OperationalError:
                    if driver.closed:
                        await connection.invalidate()
                    raise

        return attempt

    async def store(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T:
        """As `call`, for facts: only so many at once, since more would only wait for each other in PostgreSQL.

        Its deadline begins anew whenever a writer gets on; where none did for that long, PostgreSQL is away. A
        statement of its own that stands still while others get on is ended by the statement timeout.
        """
        await self.disk.demand_space()
        loop = asyncio.get_running_loop()
        came = loop.time()

        def left() -> float:
            return min(max(came, self._got_on) + self.deadline, came + _LONGEST_QUEUE) - loop.time()

        await self._turn(left)
        try:
            return await self._in_time(self._on_driver(work), left)
        finally:
            self._turns.release()

    def got_on(self) -> None:
        """Said by a writer after each of its statements: PostgreSQL is there and works."""
        self._got_on = asyncio.get_running_loop().time()

    async def _turn(self, left: Callable[[], float]) -> None:
        while (seconds := left()) > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self._turns.acquire()
            except TimeoutError:
                continue
            return
        raise DatabaseUnavailable("PostgreSQL did not get on with what came before")

    async def _in_time(self, attempt: Callable[[], Awaitable[T]], left: Callable[[], float]) -> T:
        task = asyncio.ensure_future(self._retrying(attempt))
        self._left_alone.add(task)
        task.add_done_callback(self._forget)
        # A cancelled statement waits for the server's answer, which a frozen server never gives: it is left alone.
        while True:
            done, _ = await asyncio.wait({task}, timeout=max(0.0, left()))
            if done:
                return task.result()
            if left() <= 0:
                task.cancel()
                raise DatabaseUnavailable("PostgreSQL did not answer in time")

    def _forget(self, task: asyncio.Future[Any]) -> None:
        self._left_alone.discard(task)
        if not task.cancelled():
            task.exception()  # taken note of: a late failure was already answered with 503

    async def _retrying(self, attempt: Callable[[], Awaitable[T]]) -> T:
        for tries_left in reversed(range(_TRIES)):
            try:
                return await attempt()
            except PoolTimeout:
                raise DatabaseUnavailable("every connection to PostgreSQL is busy") from None
            except (DBAPIError, psycopg.Error) as error:
                cause = error.orig if isinstance(error, DBAPIError) else error
                state = getattr(cause, "sqlstate", None)
                lost = state is None and isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
                if state in _RACES and tries_left:
                    await asyncio.sleep(random.uniform(0.001, 0.02) * (_TRIES - tries_left))  # noqa: S311
                elif (lost or (state or "").startswith("57P")) and tries_left == _TRIES - 1:
                    await self._engine.dispose()  # after a restart every pooled connection is dead; begin anew once
                elif lost or (state or "")[:2] in {"08", "53", "57", "58"} or state in {"55P03", "25006"}:
                    logger.warning("PostgreSQL: %s", cause)
                    raise DatabaseUnavailable(f"PostgreSQL does not answer: {_first_line(cause)}") from error
                elif state in _RACES:
                    raise DatabaseUnavailable(f"PostgreSQL found no turn for it: {_first_line(cause)}") from error
                elif state == _NO_KEY:
                    logger.error("PostgreSQL: %s", _first_line(cause))
                    raise PrivacyKeyMissing(_first_line(cause)) from error
                elif state in _MISSING:
                    logger.error("PostgreSQL lacks part of the schema: %s", cause)
                    raise DatabaseUnavailable(f"the schema is not applied: {_first_line(cause)}") from error
                else:
                    raise
        raise AssertionError("the last try returns or raises")


def _first_line(error: BaseException | None) -> str:
    # Connection errors name host and port; passwords are never part of libpq's messages.
    return (str(error).splitlines() or ["no reason given"])[0]


def _plain_json(connection: Any, _: object) -> None:
    """jsonb is read as text: numbers pass through the API unrounded."""
    adapters = connection.driver_connection.adapters
    for name in ("json", "jsonb"):
        adapters.register_loader(name, TextLoader)
