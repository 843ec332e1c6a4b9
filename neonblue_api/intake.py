"""Events into PostgreSQL: whole batches in one call, single events gathered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from neonblue_api.database import Database
from neonblue_api.errors import ApiError, BatchRefused, EventConflict, NotAssigned, UnknownExperiment, UserErased
from neonblue_api.event_input import Decoded, EventRow, anonymous, encode_rows
from neonblue_api.fact_input import Rejected
from neonblue_api.gathering import Gatherer
from neonblue_api.monitoring import count_events
from neonblue_api.repeats import Calls, in_calls
from neonblue_api.settings import Settings

_ACCEPT = "select event_position, outcome from accept_events(%s::text::jsonb, gathered => true)"

DUPLICATE, CONFLICT, ERASED = "duplicate", "conflict", "erased"
_REFUSALS: dict[str, type[ApiError]] = {
    CONFLICT: EventConflict,
    "unknown_experiment": UnknownExperiment,
    "not_assigned": NotAssigned,
    ERASED: UserErased,
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
    if kind is UserErased:
        return UserErased(f"the user of event {row.id} was erased")
    return NotAssigned(f"user {row.user_id!r} is not assigned in experiment {row.experiment!r}")


class Intake:
    """Stores events; every method returns after the commit."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._keep_anonymous = settings.erased_users == "anonymous"
        self._singles: Gatherer[EventRow, str] = Gatherer(self._outcome_of_each)

    async def one(self, row: EventRow) -> str:
        """'accepted' or 'duplicate'. Raises EventConflict, UnknownExperiment, NotAssigned, DatabaseUnavailable."""
        outcome = await self._singles.store(row)
        if outcome not in ("accepted", DUPLICATE):
            raise refusal(outcome, row)
        count_events(int(outcome != DUPLICATE), int(outcome == DUPLICATE))
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
        codes = [item.code for item in rejected]
        if atomic and rejected:
            count_events(rejected=[*codes, *[BatchRefused.code] * (len(rows) + len(decoded.rejected) - len(codes))])
            return Stored(0, 0, rejected)
        accepted = len(rows) - len(outcomes)
        count_events(accepted, duplicates, codes)
        return Stored(accepted, duplicates, rejected)

    async def outcomes(self, rows: list[EventRow], *, atomic: bool = False) -> dict[int, str]:
        """Position → outcome for every row that was not newly stored. All rows in one transaction."""
        split = in_calls([row.id for row in rows], lambda position: _content(rows[position]))
        calls = split.calls
        texts = [encode_rows([rows[position] for position in positions]) for positions in calls]

        async def store(driver: psycopg.AsyncConnection[Any]) -> dict[int, str]:
            found: dict[int, str] = {}
            if len(calls) == 1 and not atomic:
                found = await self._accept(driver, texts[0], calls[0])
                await self._without_user(driver, rows, found)
                return _with_repeats(found, split)
            async with driver.transaction():
                for positions, text in zip(calls, texts, strict=True):
                    found |= await self._accept(driver, text, positions)
                await self._without_user(driver, rows, found)
                found = _with_repeats(found, split)
                if atomic and any(outcome != DUPLICATE for outcome in found.values()):
                    raise _RollBack(found)
            return found

        try:
            return await self._database.store(store)
        except _RollBack as rolled_back:
            return rolled_back.outcomes

    async def _outcome_of_each(self, rows: list[EventRow]) -> list[str]:
        found = await self.outcomes(rows)
        return [found.get(position, "accepted") for position in range(len(rows))]

    async def _without_user(
        self, driver: psycopg.AsyncConnection[Any], rows: list[EventRow], found: dict[int, str]
    ) -> None:
        """Where the settings ask for it, events of erased people are stored as nobody's; `found` then says so."""
        positions = [position for position, outcome in found.items() if outcome == ERASED]
        if not positions or not self._keep_anonymous:
            return
        for position in positions:
            del found[position]
        nobodys = [anonymous(rows[position]) for position in positions]
        split = in_calls([row.id for row in nobodys], lambda place: _content(nobodys[place]))
        of_nobody: dict[int, str] = {}
        for places in split.calls:
            of_nobody |= await self._accept(driver, encode_rows([nobodys[place] for place in places]), places)
        found |= {positions[place]: outcome for place, outcome in _with_repeats(of_nobody, split).items()}

    async def _accept(
        self, driver: psycopg.AsyncConnection[Any], text: str, positions: Sequence[int]
    ) -> dict[int, str]:
        cursor = await driver.execute(_ACCEPT, (text,))
        self._database.got_on()
        return {positions[position]: outcome for position, outcome in await cursor.fetchall()}


def _content(row: EventRow) -> tuple[Any, ...]:
    """All that the client said; the request's id may differ."""
    return row.user_id, row.event_type, row.timestamp, row.experiment, bytes(row.properties), row.session_id


def _with_repeats(found: dict[int, str], split: Calls) -> dict[int, str]:
    """The outcomes of all positions, from those of the positions that were sent."""
    for position, first in split.same_as.items():
        if first not in split.excess:
            found[position] = found.get(first, DUPLICATE)
        else:
            found[position] = CONFLICT
    for position in split.excess:
        found[position] = CONFLICT
    return found
