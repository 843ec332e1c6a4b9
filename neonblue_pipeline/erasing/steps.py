"""The steps of an erasure, in their order: each is safe to repeat, and recorded when it is done.

    facts      PostgreSQL has none, and takes none any more
    outbox     nor has the outbox
    arrived    what was on its way has come
    topic      Kafka's records are deleted
    traces     what was made of the person is written down
    ledger     its entries of days that PostgreSQL dropped are smaller by the person's share
    analytics  ClickHouse has nothing, and rollups and results are built without the person
    forgotten  the id itself is gone
    files      so are the bytes in PostgreSQL's pages
    log        and in its write-ahead log

Whoever is killed in between is followed by the next run, which begins at the first step without a record.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from neonblue_pipeline import rollup
from neonblue_pipeline.arrival import await_arrival
from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.erasing import analytics, facts, lock, topic, windows
from neonblue_pipeline.errors import ErasureHeld
from neonblue_pipeline.settings import Settings

Tell = Callable[[str], None]
_PATIENCE_S = 120
_BY_WHOM = "neonblue erasing"


@dataclass
class Erased:
    """What one run did: erasures that are over by it, and seconds a step."""

    finished: list[int] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Open:
    """An erasure that is not over; the person is known until the step `forgotten`."""

    erasure_id: int
    requested_at: datetime
    steps: dict[str, dict[str, Any]]
    user_id: str | None = field(repr=False)


def open_erasures(postgres: "psycopg.Connection[Any]") -> list[Open]:
    """The erasures that are not over, the oldest first."""
    rows = postgres.execute(
        """select e.erasure_id, e.requested_at, u.user_id,
                  coalesce((select jsonb_object_agg(s.step, s.found) from erasure_steps s
                            where s.erasure_id = e.erasure_id), '{}')
           from erasures e left join erasure_users u using (erasure_id) where e.finished_at is null order by 1"""
    ).fetchall()
    return [Open(number, at, steps, user) for number, at, user, steps in rows]


def erase(settings: Settings, tell: Tell = lambda _: None) -> Erased:
    """Does every step of every open erasure, all people together. Raises ErasureHeld when one cannot be done now."""
    done = Erased()
    with lock.alone(settings), psycopg.connect(settings.postgres_url, autocommit=True) as postgres:
        work = _Work(settings, postgres, tell, open_erasures(postgres), done)
        for step in ("facts", "outbox", "arrived", "topic", "analytics", "forgotten", "files", "log"):
            work.do(step)
        work.finish()
    return done


class _Work:
    """One run over the erasures that were open at its beginning."""

    def __init__(
        self,
        settings: Settings,
        postgres: "psycopg.Connection[Any]",
        tell: Tell,
        erasures: Sequence[Open],
        done: Erased,
    ) -> None:
        self.settings, self.postgres, self.tell, self.erasures, self.done = settings, postgres, tell, erasures, done

    def do(self, step: str) -> None:
        todo = [erasure for erasure in self.erasures if step not in erasure.steps]
        if not todo:
            return
        started = time.monotonic()
        getattr(self, f"_{step}")(todo)
        self.done.seconds[step] = round(time.monotonic() - started, 1)
        self.tell(f"{step}: {len(todo)} people, {self.done.seconds[step]} s")

    def finish(self) -> None:
        """Nothing is left of the person: what later steps had to know goes, too."""
        for erasure in self.erasures:
            with self.postgres.transaction():
                self.postgres.execute(
                    "update erasure_steps set found = '{}' where erasure_id = %s", (erasure.erasure_id,)
                )
                self.postgres.execute(
                    "update erasures set finished_at = clock_timestamp() where erasure_id = %s", (erasure.erasure_id,)
                )
            self.done.finished.append(erasure.erasure_id)

    def _record(self, todo: Sequence[Open], step: str, found: dict[str, Any] | None = None) -> None:
        for erasure in todo:
            self.postgres.execute(
                """insert into erasure_steps (erasure_id, step, found) values (%s, %s, %s)
                   on conflict (erasure_id, step) do update set found = excluded.found, done_at = excluded.done_at""",
                (erasure.erasure_id, step, Jsonb(found or {})),
            )
            erasure.steps[step] = found or {}

    def _transaction(self) -> AbstractContextManager[Any]:
        return self.postgres.transaction()

    def _facts(self, todo: Sequence[Open]) -> None:
        for erasure in todo:
            with self._transaction():
                found = self._call("erase_facts", erasure)
                # The audit log keeps who did what, without whom it was done to.
                if self._one("select to_regprocedure('blank_audit(text, text, text, bigint)')"):
                    self._one("select blank_audit(%s, %s, null)", (erasure.user_id, _BY_WHOM))
                self._record([erasure], "facts", found)

    def _outbox(self, todo: Sequence[Open]) -> None:
        for erasure in todo:
            with self._transaction():
                self._record([erasure], "outbox", self._call("erase_outbox", erasure))

    def _arrived(self, todo: Sequence[Open]) -> None:
        """Everything that was accepted before is in ClickHouse: nothing of the person can come any more."""
        behind = await_arrival(self.settings, _PATIENCE_S)
        if behind:
            raise ErasureHeld(behind)
        self._record(todo, "arrived")

    def _topic(self, todo: Sequence[Open]) -> None:
        self._record(todo, "topic", topic.clear(self.settings))

    def _analytics(self, todo: Sequence[Open]) -> None:
        settings = self.settings
        people = [erasure.user_id for erasure in todo if erasure.user_id is not None]
        with rollup.lock(settings, "neonblue_pipeline erasing") as clickhouse:
            analytics.refuse_detached(clickhouse)
            with analytics.files_removed(clickhouse), analytics.named(clickhouse, people):
                self._traces(clickhouse, todo)
                analytics.delete(clickhouse, self.tell)
                found = _together([erasure.steps["traces"]["found"] for erasure in todo])
                self._ledger(todo)
                analytics.build(clickhouse, settings, found)
            entries = windows.compare_again(self.postgres, clickhouse, found)
        self._record(todo, "analytics", {"ledger_entries": entries})

    def _traces(self, clickhouse: ClickHouse, todo: Sequence[Open]) -> None:
        """Written down before anything is deleted; a run that was killed may have deleted some of it already."""
        new = [erasure for erasure in todo if "traces" not in erasure.steps]
        if not new:
            return
        found = analytics.traces(clickhouse)
        for erasure in new:
            for kind, minutes in erasure.steps["facts"].get("minutes", {}).items():
                found[kind] = sorted({*found.get(kind, ()), *minutes})
        shares = windows.shares(self.postgres, clickhouse, found)
        with self._transaction():
            self._record(new[:1], "traces", {"found": found, "shares": shares})
            self._record(new[1:], "traces", {"found": {}, "shares": []})

    def _ledger(self, todo: Sequence[Open]) -> None:
        for erasure in todo:
            if "ledger" not in erasure.steps:
                with self._transaction():
                    windows.subtract(self.postgres, erasure.steps["traces"]["shares"])
                    self._record([erasure], "ledger")

    def _forgotten(self, todo: Sequence[Open]) -> None:
        with self._transaction():
            for erasure in todo:
                number = (erasure.erasure_id,)
                self.postgres.execute("delete from erasure_users where erasure_id = %s", number)
                # Values of dimensions are the person's own.
                self.postgres.execute(
                    "update erasure_steps set found = '{}' where erasure_id = %s and step = 'traces'", number
                )
            self._record(todo, "forgotten")

    def _files(self, todo: Sequence[Open]) -> None:
        found = [erasure.steps[step] for erasure in todo for step in ("facts", "outbox")]
        self._record(todo, "files", facts.write_anew(self.settings, facts.partitions_of(found), self.tell))

    def _log(self, todo: Sequence[Open]) -> None:
        self._record(todo, "log", facts.clear_log(self.settings))

    def _call(self, function: str, erasure: Open) -> dict[str, Any]:
        found: dict[str, Any] = self._one(f"select {function}(%s)", (erasure.user_id,))
        return found

    def _one(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        row = self.postgres.execute(query.encode(), parameters).fetchone()
        assert row is not None
        return row[0]


def _together(found: Sequence[dict[str, list[str]]]) -> dict[str, list[str]]:
    """The traces of several people as one."""
    kinds = {kind for each in found for kind in each}
    return {kind: sorted({value for each in found for value in each.get(kind, ())}) for kind in kinds}
