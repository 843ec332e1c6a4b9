"""Single facts that arrive while a call to PostgreSQL is under way share the next one, and so its commit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from neonblue_api.errors import ApiError

Row = TypeVar("Row")
Outcome = TypeVar("Outcome")


class Gatherer(Generic[Row, Outcome]):
    """Hands rows that came one by one to `store`, which answers with an outcome a row, in order, after the commit."""

    def __init__(
        self, store: Callable[[list[Row]], Awaitable[Sequence[Outcome]]], *, calls_at_once: int = 2, most: int = 500
    ) -> None:
        self._store_all = store
        self._waiting: list[tuple[Row, asyncio.Future[Outcome]]] = []
        self._free = calls_at_once
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    def store(self, row: Row) -> asyncio.Future[Outcome]:
        """The outcome of one row; raises what `store` raised."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, future))
        if self._free:
            self._free -= 1
            task = asyncio.create_task(self._drain())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return future

    async def _drain(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._store(taken)
        finally:
            self._free += 1

    async def _store(self, taken: list[tuple[Row, asyncio.Future[Outcome]]]) -> None:
        try:
            outcomes = await self._store_all([row for row, _ in taken])
        except ApiError as error:
            # Who waited behind them would only wait as long once more.
            behind, self._waiting = self._waiting, []
            for _, future in (*taken, *behind):
                if not future.done():
                    future.set_exception(error)
        except Exception as error:  # noqa: BLE001 - one fact that PostgreSQL refuses may not fail its neighbours
            if len(taken) == 1:
                if not taken[0][1].done():
                    taken[0][1].set_exception(error)
                return
            for one in taken:
                await self._store([one])
        else:
            for (_, future), outcome in zip(taken, outcomes, strict=True):
                if not future.done():
                    future.set_result(outcome)
