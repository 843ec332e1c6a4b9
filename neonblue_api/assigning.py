"""Assignments into PostgreSQL: sticky, by hash where the client names no variant."""

import time
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
    UserErased,
)
from neonblue_api.fact_input import Rejected
from neonblue_api.gathering import Gatherer
from neonblue_api.known import Definition, Known
from neonblue_api.pseudonyms import Pseudonym
from neonblue_api.repeats import in_calls
from neonblue_api.settings import Settings

_ACCEPT = (
    "select assignment_position, outcome, held_variant_key, utc_text(held_assigned_at)"
    " from accept_assignments(%s::text::jsonb)"
)
_STATE = """
    select x.status, x.seed, x.coverage::float8,
           (select array_agg(v.key order by v.position) from variants v where v.experiment_id = x.experiment_id),
           (select array_agg(v.weight::float8 order by v.position) from variants v
            where v.experiment_id = x.experiment_id),
           x.revision,
           concat_ws('/', extract(epoch from pg_postmaster_start_time()), 'assignments'::regclass::oid, x.experiment_id,
                     (select e.epoch from assignment_epochs e where e.experiment_id = x.experiment_id)),
           extract(epoch from statement_timestamp())::float8, held.key, utc_text(a.assigned_at)
    from experiments x
    left join assignments a on a.experiment_id = x.experiment_id and a.user_id = %(user_id)s
    left join variants held on held.variant_id = a.variant_id
    where x.key = %(experiment)s"""
_encode = msgspec.json.Encoder().encode

CREATED, EXISTING, NOT_COVERED, ANONYMOUS = "created", "existing", "not_covered", "anonymous"


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

    def __init__(self, database: Database, known: Known, settings: Settings, pseudonym: Pseudonym) -> None:
        self._database = database
        self._known = known
        self._pseudonym = pseudonym
        self._anonymous = settings.erased_users == "anonymous"
        self._singles: Gatherer[AssignmentRow, _Outcome] = Gatherer(self._accept_each)

    async def one(self, row: AssignmentRow) -> Assignment:
        """The reply names the user as the request did; stored is the pseudonym, where there is one.

        Raises ExperimentNotFound, ExperimentNotRunning, UnknownVariant, AssignmentConflict, UserErased,
        DatabaseUnavailable.
        """
        told = row.user_id
        row.user_id = self._pseudonym(told)
        if row.variant_key is None:
            return await self._by_hash(row, told)
        outcome = await self._singles.store(row)
        if outcome.outcome not in (CREATED, EXISTING):
            raise _refusal(outcome, row, in_path=True)
        return Assignment(row.experiment, told, outcome.variant_key, outcome.assigned_at, outcome.outcome)

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

    async def _by_hash(self, row: AssignmentRow, told: str) -> Assignment:
        """The assignment that the user has, or a new one by the hash of the id that was told."""
        definition, held = await self._known.find(row.experiment, row.user_id)
        if held is not None:
            return Assignment(row.experiment, told, held.variant_key, held.assigned_at, EXISTING)
        # What is known may be half a second old: it says yes, which PostgreSQL looks at again, but never no.
        if definition is not None and definition.status == "running":
            made = await self._made(row, told, definition, definition.revision)
            if made is not None:
                return made
        definition, key, at = await self._state(row)
        if key is not None and at is not None:
            self._known.assigned(row.experiment, row.user_id, definition, key, at)
            return Assignment(row.experiment, told, key, at, EXISTING)
        if definition.status != "running":
            raise ExperimentNotRunning(f"experiment {row.experiment!r} is {definition.status}")
        made = await self._made(row, told, definition, None)
        return made or Assignment(row.experiment, told, None, None, NOT_COVERED)

    async def _made(
        self, row: AssignmentRow, told: str, definition: Definition, revision: int | None
    ) -> Assignment | None:
        """The assignment by this definition, or the one that was there; None outside the coverage.

        With a revision, None too where the experiment has another by now or does not run; else raises as `one` does.
        """
        chosen = choose_variant(
            seed=definition.seed, user_id=told, weights=definition.weights, coverage=definition.coverage
        )
        if chosen is None:
            return None
        source = "hash" if row.source == "api" else row.source
        made = msgspec.structs.replace(row, variant_key=definition.keys[chosen], source=source, revision=revision)
        outcome = await self._singles.store(made)
        if outcome.outcome == "conflict":
            outcome.outcome = EXISTING  # a client that named a variant was first: what it recorded holds
        if outcome.outcome == "erased" and self._anonymous:
            return Assignment(row.experiment, told, made.variant_key, None, ANONYMOUS)
        if outcome.outcome not in (CREATED, EXISTING):
            if revision is not None:
                return None
            raise _refusal(outcome, made, in_path=True)
        if outcome.variant_key is not None and outcome.assigned_at is not None:
            self._known.assigned(row.experiment, row.user_id, definition, outcome.variant_key, outcome.assigned_at)
        return Assignment(row.experiment, told, outcome.variant_key, outcome.assigned_at, outcome.outcome)

    async def _state(self, row: AssignmentRow) -> tuple[Definition, str | None, str | None]:
        """PostgreSQL's word: the definition, variant and time of the user's assignment. Raises ExperimentNotFound."""

        async def state(driver: psycopg.AsyncConnection[Any]) -> tuple[float, tuple[Any, ...] | None]:
            asked_at = time.monotonic()
            cursor = await driver.execute(_STATE, {"experiment": row.experiment, "user_id": row.user_id})
            return asked_at, await cursor.fetchone()

        asked_at, found = await self._database.call(state)
        if found is None:
            raise ExperimentNotFound(f"experiment {row.experiment!r} does not exist")
        *fields, key, at = found
        definition = Definition(*fields)
        self._known.learned(row.experiment, definition, asked_at)
        return definition, key, at

    async def _accept_each(self, rows: list[AssignmentRow]) -> list[_Outcome]:
        """As `_accept`, but of each row PostgreSQL was asked: they come from callers who know nothing of each other."""
        outcomes = await self._accept(rows)
        return [
            (await self._accept([row]))[0] if outcome.outcome == "conflict" and outcome.variant_key is None else outcome
            for row, outcome in zip(rows, outcomes, strict=True)
        ]

    async def _accept(self, rows: list[AssignmentRow]) -> list[_Outcome]:
        """One outcome a row, in order, all rows in one transaction."""
        split = in_calls(
            [(row.experiment, row.user_id) for row in rows],
            lambda position: (rows[position].variant_key, rows[position].revision),
        )
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
        case "erased":
            return UserErased("the user of this assignment was erased")
        case "not_running":
            return ExperimentNotRunning(f"experiment {row.experiment!r} is not running")
        case _:
            return UnknownVariant(f"experiment {row.experiment!r} has no variant {row.variant_key!r}")
