"""Any order and any duplication of the same messages gives the same events, rollups and results.

Worlds of facts are drawn by hypothesis and delivered to ClickHouse as its Kafka engine would: block by block into
landing. One delivery of each world is the plain one, every message once and in order; the others are shuffled, cut into
blocks elsewhere, and hold messages twice: delivered again at the same offset, or sent again by a replay at a new one.
Of one delivery the rollups are built after each of its blocks, of the others when all is there.
All this happens in a database of its own, made by the project's SQL files, beside the one that other tests use.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neonblue_pipeline import clickhouse, ledger, rollup, significance
from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.publication import sufficient_statistics
from neonblue_pipeline.settings import TOPIC, Settings
from neonblue_pipeline.sqlfiles import sql_files
from tests.integration.pipeline.conftest import ROLLUPS, Pipeline, payload_of

DATABASE = "any_order"
START = datetime(2026, 1, 5, tzinfo=UTC)
# Around midnight, around the beginning of the run, and days apart: where windows and attribution could differ.
MOMENTS = [START + timedelta(hours=h) for h in (-30, -1, 0, 1, 23, 24, 47)]
VARIANTS = ("control", "new")
LANDING = ["topic", "partition", "offset", "kafka_timestamp", "key", "lsn", "outbox_id", "aggregate_id"]
LANDING += ["aggregate_type", "event_type", "created_at", "payload", "raw", "reason"]
_numbers = count(1)

told = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from(["conversion", "click", "exposure"]),
        "at": st.sampled_from(MOMENTS),
        "names_experiment": st.booleans(),
        "value": st.sampled_from([None, 0, 1, 2.5, -3, 0.1, 1e17]),
    }
)
# One message tells of one event of a user or of several.
events = st.fixed_dictionaries({"user": st.integers(0, 3), "told": st.lists(told, min_size=1, max_size=3)})
assignments = st.fixed_dictionaries(
    {
        "user": st.integers(0, 3),
        "variant": st.sampled_from(VARIANTS),
        "at": st.sampled_from(MOMENTS),
        "deleted": st.booleans(),
    }
)
revisions = st.fixed_dictionaries({"metrics": st.integers(1, 3), "stopped": st.booleans()})


@dataclass(frozen=True)
class Delivery:
    """Which messages come in which order, and after which of them a block ends."""

    order: Sequence[tuple[int, bool]]  # (number of the message, whether by a replay)
    cuts: frozenset[int]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[tuple[str, dict]], list[Delivery]]:
    """Facts in the order in which PostgreSQL accepted them, and three deliveries of them."""
    kinds = {"assignment": assignments, "event": events, "experiment": revisions}
    more = st.lists(st.sampled_from(["event", "event", "event", "assignment", "experiment"]), max_size=16)
    facts = [(kind, draw(kinds[kind])) for kind in ("experiment", *draw(more))]
    numbers = range(len(facts))
    deliveries = []
    for _ in range(3):
        again = draw(st.lists(st.tuples(st.sampled_from(numbers), st.booleans()), max_size=8))
        order = draw(st.permutations([*((n, False) for n in numbers), *again]))
        deliveries.append(Delivery(order, frozenset(draw(st.sets(st.integers(0, len(order)), max_size=4)))))
    return facts, deliveries


class World:
    """One instance of drawn facts, with ids of its own, which `plain` takes out of rows again."""

    def __init__(self, facts: list[tuple[str, dict]]) -> None:
        self.number = 10**8 + next(_numbers)
        self.key = f"w{self.number}"
        self.rows = [self._row(position, kind, fact) for position, (kind, fact) in enumerate(facts)]

    def deliver(self, server: ClickHouse, delivery: Delivery, after_block: Callable[[], object] = lambda: None) -> None:
        block: list[list[Any]] = []
        replays = count(len(self.rows))
        for place, (number, replayed) in enumerate(delivery.order):
            row = list(self.rows[number])
            if replayed:
                row[2] = next(replays)  # a new offset and place in the log, and the outbox id that it had
                row[5] = 1000 + row[2]
            block.append(row)
            if place in delivery.cuts:
                server.insert("landing_rows", LANDING, block)
                after_block()
                block = []
        server.insert("landing_rows", LANDING, block)

    def plain(self, rows: Sequence[Sequence[Any]]) -> list[str]:
        """The rows of this world among those of several."""
        texts = (repr(tuple(row)) for row in rows)
        return sorted(text.replace(str(self.number), "#") for text in texts if str(self.number) in text)

    def user(self, number: int) -> str:
        return f"{self.key}-{number}"

    def _row(self, position: int, kind: str, fact: dict) -> list[Any]:
        accepted = START + timedelta(days=3, seconds=position)
        payload, aggregate = getattr(self, f"_{kind}")(position, fact, _text(accepted))
        happened = "ASSIGNMENT_DELETED" if fact.get("deleted") else f"{kind.upper()}_CREATED"
        place = [TOPIC, 0, position, accepted, self.key, 100 + position, position + 1, aggregate]
        return [*place, kind, happened, accepted, payload, "", ""]

    def _event(self, position: int, fact: dict, accepted: str) -> tuple[str, str]:
        events = []
        for n, told in enumerate(fact["told"]):
            named = told["names_experiment"]
            properties = {"page": "/p"} | ({} if told["value"] is None else {"value": told["value"]})
            events.append({
                "id": f"00000000-0000-4{n:03d}-8{position:03d}-{self.number:012d}",
                "user_id": self.user(fact["user"]), "event_type": told["event_type"],
                "timestamp": _text(told["at"]), "experiment_id": self.number if named else None,
                "variant_id": self._variant("new") if named else None, "variant_key": "new" if named else None,
                "assignment_at": _text(START) if named else None, "properties": json.dumps(properties),
                "session_id": None, "request_id": None, "created_at": accepted,
            })  # fmt: skip
        return payload_of(events), events[0]["id"]

    def _assignment(self, position: int, fact: dict, accepted: str) -> tuple[str, str]:
        user = self.user(fact["user"])
        return json.dumps({
            "experiment_id": self.number, "experiment_key": self.key, "user_id": user,
            "variant_id": self._variant(fact["variant"]), "variant_key": fact["variant"],
            "assigned_at": _text(fact["at"]), "source": "test", "attributes": "{}", "created_at": accepted,
            "deleted": fact["deleted"],
        }), f"{self.key}/{user}"  # fmt: skip

    def _experiment(self, position: int, fact: dict, accepted: str) -> tuple[str, str]:
        metrics = [("clicks", "proportion", "click"), ("spent", "mean", "conversion"), ("seen", "mean", "exposure")]
        return json.dumps({
            "experiment_id": self.number, "key": self.key, "name": "", "status": "running", "revision": position + 1,
            "started_at": _text(START), "stopped_at": _text(MOMENTS[-2]) if fact["stopped"] else None,
            "created_at": accepted, "updated_at": accepted, "coverage": 1, "phases": [],
            "variants": [
                {"variant_id": self._variant(key), "key": key, "weight": 0.5, "is_control": key == "control"}
                for key in VARIANTS
            ],
            "metrics": [
                {"key": key, "kind": kind, "event_type": event_type, "value_property": None, "direction": "increase",
                 "role": "target", "definition": {}}
                for key, kind, event_type in metrics[: fact["metrics"]]
            ],
        }), self.key  # fmt: skip

    def _variant(self, key: str) -> int:
        return int(f"{self.number}{VARIANTS.index(key)}")


@pytest.fixture(scope="module")
def apart(pipeline: Pipeline) -> Iterator[tuple[Settings, ClickHouse]]:
    """The tables and views of ClickHouse in another database, without the Kafka table and its tap."""
    with clickhouse.connect(pipeline.settings, "tests", database=None) as server:
        server.command(f"drop database if exists {DATABASE} sync")
        server.command(f"create database {DATABASE}")
    with clickhouse.connect(pipeline.settings, "tests", database=DATABASE) as server:
        schema = ledger.ClickHouseSchema(server)
        server.command(ledger.LEDGER_CLICKHOUSE)
        for file in sql_files("clickhouse"):
            if file.name not in (ledger.KAFKA_TABLE, ledger.TAP):
                schema.run(file.rendered(pipeline.settings.sql_variables))
        yield pipeline.settings, server
        server.command(f"drop database {DATABASE} sync")


def test_any_order_and_any_duplication_gives_the_same_events_rollups_and_results(
    apart: tuple[Settings, ClickHouse],
) -> None:
    of_stack, server = apart
    everything: list[tuple[list[tuple[str, dict]], list[World]]] = []

    @settings(max_examples=5, deadline=None)
    @given(drawn=worlds())
    def events_and_rollups_are_the_same(drawn: tuple[list[tuple[str, dict]], list[Delivery]]) -> None:
        facts, deliveries = drawn
        in_order = Delivery([(number, False) for number in range(len(facts))], frozenset())
        delivered = [(World(facts), delivery) for delivery in (in_order, *deliveries)]

        def build() -> None:
            with rollup.lock(of_stack, "tests"):
                rollup.build(server, of_stack)

        for world, delivery in delivered[:-1]:
            world.deliver(server, delivery)
        build()
        delivered[-1][0].deliver(server, delivered[-1][1], build)
        build()
        everything.append((facts, [world for world, _ in delivered]))
        expected, *others = states(server, everything[-1][1])
        assert len(expected["events_processed"]) == sum(len(fact.get("told", ())) for _, fact in facts)
        for found in others:
            assert found == expected

    events_and_rollups_are_the_same()
    # One query computes the results of all experiments, so it is asked once, for every world.
    results, quality = significance.analyse(sufficient_statistics(server))
    for facts, of_facts in everything:
        expected, *others = [(world.plain(results), world.plain(quality)) for world in of_facts]
        assert expected[1], f"no results for {facts}"
        for found in others:
            assert found == expected, facts


def states(server: ClickHouse, of: Sequence[World]) -> list[dict[str, list[str]]]:
    """The events, assignments and rollups that readers see of each world, without its own ids."""
    bounds = {"numbers": [world.number for world in of]}
    ours = "experiment_id in {numbers:Array(UInt64)}"
    read = {
        "events_processed": "toUInt64OrZero(substring(user_id, 2, 9)) in {numbers:Array(UInt64)}",
        **dict.fromkeys(("assignments_mv", *ROLLUPS), ours),
    }
    rows = {name: server.rows(f"select * from {name} where {which}", bounds) for name, which in read.items()}
    return [{name: world.plain(found) for name, found in rows.items()} for world in of]


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"
