"""Part `drain`: a backlog of outbox rows on its way to ClickHouse, with nothing else to do."""

import time
from collections.abc import Iterator

from bench import client, references
from bench.client import Plan
from bench.feeds import Batches
from bench.figures import Figure
from bench.rig import EXPERIMENT, BenchError, Rig

_MOST_S = 600


def measure(rig: Rig) -> Iterator[Figure]:
    """From the word to go on until the last event can be queried. Then the same backlog by others."""
    rig.population()
    rig.rest_dagster()
    rig.settle()
    rig.pause_stream()
    references.make_default_slot(rig)
    try:
        before, rows = _visible(rig), rig.pick(1_000_000, 200_000)
        plan = Plan(Batches(rig.users, EXPERIMENT), 8, _MOST_S, requests=rows // 500)
        client.run(rig.target, plan).only(202)
        spent, began = rig.cpu_seconds(), time.monotonic()
        rig.resume_stream()
        while (visible := _visible(rig) - before) < rows:
            if time.monotonic() > began + _MOST_S:
                raise BenchError(f"{visible:,} of {rows:,} rows in ClickHouse after {_MOST_S} s")
            time.sleep(0.1)
        took = time.monotonic() - began
        after = rig.cpu_seconds()
        rig.check_exact()
        default = references.default_debezium(rig, rows, rig.pick(30, 10))
    finally:
        references.drop_default_slot(rig)
    polled = references.relay(rig, rig.pick(150_000, 40_000))
    direct = references.direct_insert(rig, rig.pick(8, 3))
    parts = ", ".join(
        f"{part} {(after[part] - spent.get(part, 0.0)) * 1e6 / rows:.1f}"
        for part in ("postgres, log sender", "connect", "kafka", "clickhouse")
        if part in after
    )
    name, note = "backlog to ClickHouse", f"{rows:,} rows in {took:.1f} s, each there once; CPU µs a row: {parts}"
    compared = (
        ("polling relay (for update skip locked, clickhouse-connect)", polled),
        ("Debezium with default settings, to Kafka only", default),
        ("direct insert into ClickHouse, durable nowhere before", direct),
    )
    for number, (reference, value) in enumerate(compared):
        goal, said = (45_000, note) if number == 0 else (None, "")
        yield Figure("drain", name, rows / took, "rows/s", goal, "more", reference, value, said)


def _visible(rig: Rig) -> int:
    """Rows, of which merges take away what was delivered twice: whether each is there once is checked afterwards."""
    with rig.clickhouse() as clickhouse:
        return int(clickhouse.rows("select count() from events_rows")[0][0])
