"""The pipeline on real servers, without API and daemon: facts enter by the SQL functions that the API calls."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any
from uuid import uuid4

import dagster as dg
import psycopg
import pytest
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from neonblue_local.parts import PARTS
from neonblue_local.supervision import Supervisor
from neonblue_pipeline import clickhouse, connector, kafka, ledger, rollup
from neonblue_pipeline.settings import Settings, read_settings
from neonblue_pipeline.sqlfiles import sql_files
from tests.fix_stack import Stack

SmallPortions = Callable[[ModuleType, int, int], None]
ROLLUPS = (*rollup.BY_DAY, rollup.SUMMARY)


class NotYet(Exception):
    """What was waited for is not there."""


eventually = retry(
    retry=retry_if_exception_type((NotYet, AssertionError)),
    wait=wait_fixed(0.05),
    stop=stop_after_delay(60),
    reraise=True,
)


def payload_of(events: Sequence[object]) -> str:
    """As accept_events writes what goes in one outbox row: an event as it is, of several an array, a line each."""
    lines = ",\n".join(map(json.dumps, events))
    return lines if len(events) == 1 else f"[{lines}]"


class Pipeline:
    """Facts in by SQL, rows out by SQL, a rollup on demand."""

    def __init__(self, settings: Settings, server: clickhouse.ClickHouse) -> None:
        self.settings = settings
        self.server = server

    def postgres(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.settings.postgres_url) as connection:
            cursor = connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def clickhouse(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.server.rows(query, parameters)]

    def create_experiment(
        self, metrics: Sequence[tuple[str, str, str | None]], started_at: str = "2026-01-01"
    ) -> tuple[str, int]:
        """A running experiment with variants `control` and `new`; metrics are (kind, event_type, value_property)."""
        key = f"x-{uuid4().hex[:12]}"
        with psycopg.connect(self.settings.postgres_url) as postgres:
            (experiment_id,) = postgres.execute(
                """insert into experiments (key, name, seed, status, started_at) values (%s, '', 's', 'running', %s)
                   returning experiment_id""",
                (key, started_at),
            ).fetchone()  # type: ignore[misc]
            postgres.execute(
                """insert into variants (experiment_id, key, weight, is_control, position)
                   values (%(x)s, 'control', 0.5, true, 0), (%(x)s, 'new', 0.5, false, 1)""",
                {"x": experiment_id},
            )
            for position, (kind, event_type, value_property) in enumerate(metrics):
                postgres.execute(
                    """with m as (insert into metrics (key, kind, event_type, value_property)
                                  values (%s, %s, %s, %s) returning metric_id)
                       insert into experiment_metrics select %s, metric_id, 'target', %s from m""",
                    (f"{key}.{position}", kind, event_type, value_property, experiment_id, position),
                )
            postgres.execute("select publish_experiment(%s)", (experiment_id,))
        return key, experiment_id

    def assign(self, experiment: str, users: dict[str, str], assigned_at: str = "2026-01-02T00:00:00Z") -> None:
        batch = [
            {"experiment": experiment, "user_id": user, "variant_key": variant, "assigned_at": assigned_at,
             "source": "test", "attributes": {}, "request_id": None}
            for user, variant in users.items()
        ]  # fmt: skip
        outcomes = self.postgres("select outcome from accept_assignments(%s)", (json.dumps(batch),))
        assert {outcome for (outcome,) in outcomes} == {"created"}

    def send(self, events: Sequence[dict[str, Any]]) -> list[str]:
        """Accepts the events, whose missing fields get neutral values; returns their ids."""
        rows: list[dict[str, Any]] = [
            {"id": str(uuid4()), "timestamp": "2026-01-02T10:00:00Z", "experiment": None, "properties": {}} | event
            for event in events
        ]
        refused = self.postgres("select * from accept_events(%s, true)", (json.dumps(rows),))
        assert refused == []
        return [row["id"] for row in rows]

    @eventually
    def await_events(self, ids: Sequence[str]) -> None:
        """Returns once all these events can be queried and their blocks are committed: a build then leaves no mark."""
        query = "select count() from events_processed where toString(id) in {ids:Array(String)}"
        found = self.clickhouse(query, ids=list(ids))[0][0]
        if found != len(ids):
            raise NotYet(f"{found} of {len(ids)} events are in events_processed")

    @eventually
    def await_everything(self) -> None:
        """Returns once ClickHouse has committed every message that PostgreSQL's outbox has rows for."""
        outbox, landed = (
            self.postgres("select count(*) from outbox_log")[0][0],
            self.clickhouse("select uniqExact(outbox_id) from landing where reason = ''")[0][0],
        )
        if landed < outbox or any(kafka.lag(self.settings).values()):
            raise NotYet(f"{landed} of {outbox} outbox rows landed")

    def build(self, *, of_all: bool = False) -> rollup.Rolled:
        with rollup.lock(self.settings, "tests") as clickhouse:
            return rollup.build(clickhouse, self.settings, of_all=of_all)

    def rollups(self, experiment_id: int) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every rollup of one experiment."""
        return {
            table: sorted(
                self.clickhouse(f"select * from {table} where experiment_id = {{x:UInt64}}", x=experiment_id), key=repr
            )
            for table in ROLLUPS
        }


@pytest.fixture(scope="session")
def pipeline(connect_stack: Stack) -> Iterator[Pipeline]:
    settings = read_settings()
    with ledger.postgres_schema(settings) as schema:
        ledger.apply(schema, sql_files("postgres"))
    kafka.ensure_topic(settings)
    connector.register(settings)
    with ledger.clickhouse_schema(settings, "tests") as schema:
        ledger.apply(schema, [file.rendered(settings.sql_variables) for file in sql_files("clickhouse")])
    with clickhouse.connect(settings, "tests") as server:
        yield Pipeline(settings, server)


@pytest.fixture(scope="module")
def no_daemon(connect_stack: Stack) -> Iterator[None]:
    """Dagster, which an earlier test may have started, does nothing by itself while the tests of a module do it."""
    supervisor, daemon = Supervisor(connect_stack.home), PARTS["dagster-daemon"]
    ran = supervisor.info(daemon).is_up
    if ran:
        supervisor.stop_part(daemon)
        with dg.DagsterInstance.get() as instance:
            _await_end_of_runs(instance)
    yield
    if ran:
        supervisor.start_part(daemon)


@eventually
def _await_end_of_runs(instance: dg.DagsterInstance) -> None:
    under_way = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]))
    assert under_way == []


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> SmallPortions:
    """small_portions(module, first, rows): `module` takes experiments from `first` on by so few rows at once.

    Older ones, which are other tests', it takes as always: so many portions of theirs would take minutes.
    """

    def cut(module: ModuleType, first: int, rows: int) -> None:
        def portions(sizes: Mapping[int, int], limit: int) -> Iterator[dict[str, int]]:
            yield from rollup_portions({x: size for x, size in sizes.items() if x < first}, limit)
            yield from rollup_portions({x: size for x, size in sizes.items() if x >= first}, rows)

        rollup_portions = rollup.portions
        monkeypatch.setattr(module, "portions", portions)

    return cut
