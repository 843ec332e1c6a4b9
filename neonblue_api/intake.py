"""Events into PostgreSQL: whole batches in one call, and single events gathered while a call is under way."""

import asyncio
from dataclasses import dataclass
from typing import Any

import psycopg

from neonblue_api.database import Database
from neonblue_api.errors import ApiError, EventConflict, NotAssigned, UnknownExperiment
from neonblue_api.event_input import Decoded, EventRow, Rejected, encode_rows

# One statement stores this many events; a statement that takes longer than the statement timeout is a sick server.
_PER_CALL = 2_000
_ACCEPT = "select event_position, outcome from accept_events(%s::text::jsonb)"

DUPLICATE = "duplicate"
_REFUSALS: dict[str, type[ApiError]] = {
    "conflict": EventConflict,
    "unknown_experiment": UnknownExperiment,
    "not_assigned": NotAssigned,
}


@dataclass(slots=True)
class Stored:
    """What became of a batch; `rejected` in the order of the batch."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]


class _RollBack(Exception):
    """An atomic batch in which something was refused."""

    def __init__(self, outcomes: dict[int, str]) -> None:
        self.outcomes = outcomes


def refusal(outcome: str, row: EventRow) -> ApiError:
    """The error for an event that accept_events did not store."""
    kind = _REFUSALS[outcome]
    if kind is EventConflict:
        return EventConflict(f"event {row.id} was stored before with other content")
    if kind is UnknownExperiment:
        return UnknownExperiment(f"experiment {row.experiment!r} does not exist")
    return NotAssigned(f"user {row.user_id!r} is not assigned in experiment {row.experiment!r}")


class Intake:
    """Stores events; every method returns after the commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._singles = _Gatherer(self)

    async def one(self, row: EventRow) -> str:
        """'accepted' or 'duplicate'. Raises EventConflict, UnknownExperiment, NotAssigned, DatabaseUnavailable."""
        outcome = await self._singles.store(row)
        if outcome not in ("accepted", DUPLICATE):
            raise refusal(outcome, row)
        return outcome

    async def batch(self, decoded: Decoded, *, atomic: bool) -> Stored:
        """Stores the rows of a decoded batch; with `atomic` nothing, if anything of it is refused."""
        rows = decoded.rows
        outcomes: dict[int, str] = {}
        if rows and not (atomic and decoded.rejected):
            outcomes = await self.outcomes(rows, atomic=atomic)
        rejected = list(decoded.rejected)
        duplicates = 0
        for position, outcome in outcomes.items():
            if outcome == DUPLICATE:
                duplicates += 1
            else:
                error = refusal(outcome, rows[position])
                rejected.append(Rejected(decoded.positions[position], error.code, error.found))
        rejected.sort(key=lambda item: item.index)
        if atomic and rejected:
            return Stored(0, 0, rejected)
        return Stored(len(rows) - len(outcomes), duplicates, rejected)

    async def outcomes(self, rows: list[EventRow], *, atomic: bool = False) -> dict[int, str]:
        """Position → outcome for every row that was not newly stored. All rows in one transaction."""
        calls = _calls(rows)
        texts = [encode_rows([rows[position] for position in positions]) for positions in calls]

        async def store(driver: psycopg.AsyncConnection[Any]) -> dict[int, str]:
            if len(calls) == 1 and not atomic:
                return await _accept(driver, texts[0], calls[0])
            found: dict[int, str] = {}
            async with driver.transaction():
                for positions, text in zip(calls, texts, strict=True):
                    found |= await _accept(driver, text, positions)
                if atomic and any(outcome != DUPLICATE for outcome in found.values()):
                    raise _RollBack(found)
            return found

        try:
            return await self._database.store(store, size=len(rows))
        except _RollBack as rolled_back:
            return rolled_back.outcomes


async def _accept(driver: psycopg.AsyncConnection[Any], text: str, positions: list[int] | range) -> dict[int, str]:
    cursor = await driver.execute(_ACCEPT, (text,))
    return {positions[position]: outcome for position, outcome in await cursor.fetchall()}


def _calls(rows: list[EventRow]) -> list[list[int] | range]:
    """Positions for each call of accept_events: at most _PER_CALL rows in the order of the batch, each id once.

    Within a call rows are locked in the order of their ids. Two writers can only lock each other out over several calls
    with the same events in another order; the loser's transaction is run again.
    """
    if len(rows) <= _PER_CALL and len({row.id for row in rows}) == len(rows):
        return [range(len(rows))]
    rounds: list[list[int]] = []
    seen: dict[Any, int] = {}
    for position, row in enumerate(rows):
        turn = seen[row.id] = seen.get(row.id, -1) + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(position)
    calls: list[list[int] | range] = []
    for positions in rounds:
        calls += [positions[start : start + _PER_CALL] for start in range(0, len(positions), _PER_CALL)]
    return calls


class _Gatherer:
    """Single events that arrive while a call is under way share the next one, and so its commit."""

    def __init__(self, intake: Intake, *, calls_at_once: int = 2, most: int = 500) -> None:
        self._intake = intake
        self._waiting: list[tuple[EventRow, asyncio.Future[str]]] = []
        self._free = calls_at_once
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    def store(self, row: EventRow) -> asyncio.Future[str]:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
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

    async def _store(self, taken: list[tuple[EventRow, asyncio.Future[str]]]) -> None:
        try:
            outcomes = await self._intake.outcomes([row for row, _ in taken])
        except ApiError as error:
            # Who waited behind them would only wait as long once more.
            behind, self._waiting = self._waiting, []
            for _, future in (*taken, *behind):
                if not future.done():
                    future.set_exception(error)
        except Exception as error:  # noqa: BLE001 - one event that PostgreSQL refuses may not fail its neighbours
            if len(taken) == 1:
                if not taken[0][1].done():
                    taken[0][1].set_exception(error)
                return
            for one in taken:
                await self._store([one])
        else:
            for position, (_, future) in enumerate(taken):
                if not future.done():
                    future.set_result(outcomes.get(position, "accepted"))
