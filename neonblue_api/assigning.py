"""Assignments into PostgreSQL: sticky, by hash where the client names no variant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg

from neonblue_api.assignment_input import AssignmentRow
from neonblue_api.bucketing import choose_variant
from neonblue_api.database import Database
from neonblue_api.errors import (
    ApiError,
    AssignmentConflict,
    ExperimentNotFound,
    ExperimentNotRunning,
    UnknownExperiment,
    UnknownVariant,
)
from neonblue_api.fact_input import Rejected
from neonblue_api.repeats import in_calls

_ACCEPT = (
    "select assignment_position, outcome, held_variant_key, utc_text(held_assigned_at)"
    " from accept_assignments(%s::text::jsonb)"
)
_STATE = """
    select x.status, x.seed, x.coverage::float8,
           (select array_agg(v.key order by v.position) from variants v where v.experiment_id = x.experiment_id),
           (select array_agg(v.weight::float8 order by v.position) from variants v
            where v.experiment_id = x.experiment_id),
           held.key, utc_text(a.assigned_at)
    from experiments x
    left join assignments a on a.experiment_id = x.experiment_id and a.user_id = %(user_id)s
    left join variants held on held.variant_id = a.variant_id
    where x.key = %(experiment)s"""
_encode = msgspec.json.Encoder().encode

CREATED, EXISTING, NOT_COVERED = "created", "existing", "not_covered"


@dataclass(slots=True)
class Assignment:
    """The assignment that holds after a request; variant_key is None where the user is outside the coverage."""

    experiment: str
    user_id: str
    variant_key: str | None
    assigned_at: str | None
    outcome: str


@dataclass(slots=True)
class Recorded:
    """What became of a batch."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]


@dataclass(slots=True)
class _Outcome:
    outcome: str
    variant_key: str | None
    assigned_at: str | None


class Assigning:
    """Stores assignments; every method returns after the commit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def one(self, row: AssignmentRow) -> Assignment:
        """Raises ExperimentNotFound, ExperimentNotRunning, UnknownVariant, AssignmentConflict, DatabaseUnavailable."""
        if row.variant_key is None:
            held = await self._by_hash(row)
            if held is not None:
                return held
        outcome = (await self._accept([row]))[0]
        if outcome.outcome == "conflict" and row.source == "hash":
            outcome.outcome = EXISTING  # a client that named a variant was first: what it recorded holds
        if outcome.outcome not in (CREATED, EXISTING):
            raise _refusal(outcome, row, in_path=True)
        return Assignment(row.experiment, row.user_id, outcome.variant_key, outcome.assigned_at, outcome.outcome)

    async def batch(self, rows: list[AssignmentRow], positions: list[int], rejected: list[Rejected]) -> Recorded:
        """Records assignments made elsewhere; the good ones are stored."""
        accepted = duplicates = 0
        refused = list(rejected)
        for row, position, outcome in zip(rows, positions, await self._accept(rows), strict=True):
            if outcome.outcome == CREATED:
                accepted += 1
            elif outcome.outcome == EXISTING:
                duplicates += 1
            else:
                error = _refusal(outcome, row, in_path=False)
                refused.append(Rejected(position, error.code, error.found))
        refused.sort(key=lambda item: item.index)
        return Recorded(accepted, duplicates, refused)

    async def _by_hash(self, row: AssignmentRow) -> Assignment | None:
        """The assignment that the user has, or fills in the variant of the user's hash and returns None."""

        async def state(driver: psycopg.AsyncConnection[Any]) -> tuple[Any, ...] | None:
            cursor = await driver.execute(_STATE, {"experiment": row.experiment, "user_id": row.user_id})
            return await cursor.fetchone()

        found = await self._database.call(state)
        if found is None:
            raise ExperimentNotFound(f"experiment {row.experiment!r} does not exist")
        status, seed, coverage, keys, weights, held_key, held_at = found
        if held_key is not None:
            return Assignment(row.experiment, row.user_id, held_key, held_at, EXISTING)
        if status != "running":
            raise ExperimentNotRunning(f"experiment {row.experiment!r} is {status}")
        chosen = choose_variant(seed=seed, user_id=row.user_id, weights=weights, coverage=coverage)
        if chosen is None:
            return Assignment(row.experiment, row.user_id, None, None, NOT_COVERED)
        row.variant_key = keys[chosen]
        if row.source == "api":
            row.source = "hash"
        return None

    async def _accept(self, rows: list[AssignmentRow]) -> list[_Outcome]:
        """One outcome a row, in order, all rows in one transaction."""
        split = in_calls([(row.experiment, row.user_id) for row in rows], lambda position: rows[position].variant_key)
        calls = split.calls
        texts = [_encode([rows[position] for position in positions]).decode() for positions in calls]
        outcomes: list[_Outcome | None] = [None] * len(rows)

        async def call(driver: psycopg.AsyncConnection[Any], text: str, positions: Sequence[int]) -> None:
            cursor = await driver.execute(_ACCEPT, (text,))
            self._database.got_on()
            for position, outcome, variant_key, assigned_at in await cursor.fetchall():
                outcomes[positions[position]] = _Outcome(outcome, variant_key, assigned_at)

        async def store(driver: psycopg.AsyncConnection[Any]) -> None:
            if len(calls) == 1:
                await call(driver, texts[0], calls[0])
                return
            async with driver.transaction():
                for positions, text in zip(calls, texts, strict=True):
                    await call(driver, text, positions)

        await self._database.store(store)
        for position, first in split.same_as.items():
            held = outcomes[first]
            if held is not None:
                told = EXISTING if held.outcome == CREATED else held.outcome
                outcomes[position] = _Outcome(told, held.variant_key, held.assigned_at)
        # What was not sent has more different variants for one user than anybody can mean.
        return [outcome or _Outcome("conflict", None, None) for outcome in outcomes]


def _refusal(outcome: _Outcome, row: AssignmentRow, *, in_path: bool) -> ApiError:
    match outcome.outcome:
        case "conflict":
            return AssignmentConflict(
                f"user {row.user_id!r} has variant {outcome.variant_key!r} of experiment {row.experiment!r} since"
                f" {outcome.assigned_at}; the request names {row.variant_key!r}",
                held={"variant_key": outcome.variant_key, "assigned_at": outcome.assigned_at},
            )
        case "unknown_experiment":
            kind = ExperimentNotFound if in_path else UnknownExperiment
            return kind(f"experiment {row.experiment!r} does not exist")
        case "not_running":
            return ExperimentNotRunning(f"experiment {row.experiment!r} is not running")
        case _:
            return UnknownVariant(f"experiment {row.experiment!r} has no variant {row.variant_key!r}")
