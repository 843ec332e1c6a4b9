"""Part `drain`: a backlog of events in the outbox on its way to ClickHouse, with nothing else to do."""

import time
from collections.abc import Iterator
from typing import NamedTuple

from bench import client, references
from bench.client import Plan
from bench.feeds import Batches
from bench.figures import Figure
from bench.rig import EXPERIMENT, BenchError, Rig

_MOST_S = 600
_BATCH = 500


class Drained(NamedTuple):
    """A backlog of so many events in so many outbox rows: how long it took, and what each part spent on an event."""

    events: int
    rows: int
    seconds: float
    cpu: str

    @property
    def note(self) -> str:
        return (
            f"{self.events:,} events in {self.rows:,} outbox rows took {self.seconds:.1f} s, each event is there once; "
            f"CPU µs an event: {self.cpu}"
        )


def measure(rig: Rig) -> Iterator[Figure]:
    """From the word to go on until the last event can be queried. Then the same backlog by others.

    The goal is of the load as it is everywhere here, whose batches hold whole sessions; a second backlog has in each
    batch one event of each of 500 sessions, so that hardly two events share a row.
    """
    rig.population()
    rig.rest_dagster()
    rig.settle()
    events = rig.pick(1_000_000, 200_000)
    rig.pause_stream()
    references.make_default_slot(rig)
    try:
        found = _drain(rig, Batches(rig.users, EXPERIMENT, _BATCH), events)
        default = references.default_debezium(rig, found.rows, rig.pick(30, 10)) * found.events / found.rows
    finally:
        references.drop_default_slot(rig)
    polled = references.relay(rig, rig.pick(150_000, 40_000))
    direct = references.direct_insert(rig, rig.pick(8, 3))
    compared = (
        ("polling relay, an event a row (for update skip locked, clickhouse-connect)", polled),
        ("Debezium with default settings, the same rows, to Kafka only", default),
        ("direct insert into ClickHouse, durable nowhere before", direct),
    )
    for number, (reference, value) in enumerate(compared):
        goal, said = (45_000, found.note) if number == 0 else (None, "")
        name = "backlog to ClickHouse"
        yield Figure("drain", name, found.events / found.seconds, "events/s", goal, "more", reference, value, said)
    rig.pause_stream()
    apart = _drain(rig, Batches(rig.users, EXPERIMENT, _BATCH, sessions_at_once=_BATCH), events * 3 // 10)
    name = "backlog of events that hardly share a row"
    yield Figure("drain", name, apart.events / apart.seconds, "events/s", note=apart.note)


def _drain(rig: Rig, feed: Batches, events: int) -> Drained:
    """Fills the outbox while the stream stands still, and lets it go on."""
    before, rows_before = _visible(rig), _outbox_rows(rig)
    client.run(rig.target, Plan(feed, 8, _MOST_S, requests=events // _BATCH)).only(202)
    rows = _outbox_rows(rig) - rows_before
    spent, began = rig.cpu_seconds(), time.monotonic()
    rig.resume_stream()
    while (visible := _visible(rig) - before) < events:
        if time.monotonic() > began + _MOST_S:
            raise BenchError(f"{visible:,} of {events:,} events in ClickHouse after {_MOST_S} s")
        time.sleep(0.1)
    took = time.monotonic() - began
    after = rig.cpu_seconds()
    rig.check_exact()
    cpu = ", ".join(
        f"{part} {(after[part] - spent.get(part, 0.0)) * 1e6 / events:.1f}"
        for part in ("postgres, log sender", "connect", "kafka", "clickhouse")
        if part in after
    )
    return Drained(events, rows, took, cpu)


def _visible(rig: Rig) -> int:
    """Rows, of which merges take away what was delivered twice: whether each is there once is checked afterwards."""
    with rig.clickhouse() as clickhouse:
        return int(clickhouse.rows("select count() from events_rows")[0][0])


def _outbox_rows(rig: Rig) -> int:
    with rig.postgres() as postgres:
        return int(postgres.execute("select count(*) from outbox_log").fetchall()[0][0])
