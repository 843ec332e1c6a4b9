"""Part `intake`: the API alone. Connect is paused, so that only client, API and PostgreSQL use the machine."""

from collections.abc import Iterator

from bench import client, references
from bench.client import Plan
from bench.feeds import Batches, Feed, Singles
from bench.figures import Figure
from bench.rig import EXPERIMENT, Rig


def measure(rig: Rig) -> Iterator[Figure]:
    rig.population()
    rig.rest_dagster()
    rig.settle()
    rig.pause_stream()
    seconds = rig.pick(20, 6)
    bare = references.bulk_insert(rig, rig.pick(8, 3))
    yield from _capacity(
        rig, "batches of 500", Batches(rig.users, EXPERIMENT), 8, seconds, "events/s", 45_000,
        ("psycopg alone, executemany into one bare table", bare),
    )  # fmt: skip
    commits = references.commits(rig, rig.pick(5, 2), 8)
    yield from _capacity(
        rig, "single events", Singles(rig.users, "single"), 64, seconds, "requests/s", 2_500,
        ("psycopg alone, 8 connections, a commit a row", commits),
    )  # fmt: skip
    yield Figure(
        "intake", "commits of one connection", references.commits(rig, rig.pick(5, 2)), "commits/s",
        note="the disk under `fsync`: a row of four bytes, inserted and committed, again and again",
    )  # fmt: skip
    rig.settle()


def _capacity(
    rig: Rig,
    name: str,
    feed: Feed,
    connections: int,
    seconds: float,
    unit: str,
    goal: float,
    reference: tuple[str, float],
) -> Iterator[Figure]:
    before = rig.cpu_seconds()
    outcome = client.run(rig.target, Plan(feed, connections, seconds)).only(202)
    after = rig.cpu_seconds()
    spent = {part: (after[part] - before.get(part, 0.0)) * 1e6 / outcome.events for part in after}
    postgres = sum(us for part, us in spent.items() if part.startswith("postgres"))
    yield Figure(
        "intake", name, outcome.events / outcome.seconds, unit, goal, "more", *reference,
        note=f"{connections} connections, {outcome.events:,} events; CPU µs an event: "
        f"client {outcome.cpu_s * 1e6 / outcome.events:.1f}, API {spent['api']:.1f}, PostgreSQL {postgres:.1f}",
    )  # fmt: skip
