"""Parts `rollup`, `significance`, `reading`: what is computed from events in ClickHouse, and how fast people read it.

Their data is loaded straight into ClickHouse (dataset.py), for these parts only; everything else of this benchmark goes
the whole way.
"""

import time
from collections.abc import Iterator
from datetime import timedelta

import numpy as np

from bench import client, dataset
from bench.client import Plan
from bench.feeds import Reads
from bench.figures import Figure
from bench.rig import BenchError, Rig, await_merges
from neonblue_pipeline import rollup as rollups
from neonblue_pipeline.clickhouse import ClickHouse
from neonblue_pipeline.publication import publish
from neonblue_pipeline.settings import Settings

_ROLLUP_METRICS = {"conversion": "proportion", "click": "proportion", "conversion:value": "mean"}


def rollup(rig: Rig) -> Iterator[Figure]:
    """One day of all rollups from nothing; then another for one late event, and what users assigned since did on it."""
    events, users = rig.pick(10_000_000, 1_000_000), rig.pick(1_000_000, 100_000)
    with rig.analytic() as clickhouse:
        every = dataset.experiments(rig, clickhouse, "rollup", 101, _ROLLUP_METRICS)
        made = every._replace(ids=every.ids[:-1])
        dataset.assign(clickhouse, made, users)
        full, late = made.start + timedelta(days=2), made.start + timedelta(days=1)
        dataset.events(clickhouse, full, events, users)
        await_merges(clickhouse)
        grouped = _seconds(
            clickhouse,
            "select count(), sum(total) from (select user_id, sum(value) as total from events_rows group by user_id)",
        )
        with rig.peak_memory("clickhouse") as peak:
            first = _build(rig.settings)
        dataset.events(clickhouse, late, 1, users)
        again = _build(rig.settings)
        if list(again.days) != [late.date()]:
            raise BenchError(f"one late event on {late.date()} had these days built again: {sorted(again.days)}")
        dataset.assign(clickhouse, dataset.Made(every.ids[-1:], every.start + timedelta(days=3)), 1_000)
        added = _build(rig.settings)
        if added.days or not added.histories:
            raise BenchError(f"the history of 1,000 users had these days built again: {sorted(added.days)}")
        yield Figure(
            "rollup", "one day, all rollups", first.seconds / grouped, "× one GROUP BY user_id", 6, "less",
            note=f"{first.seconds:.1f} s against {grouped:.2f} s for select user_id, sum(value) over the same rows; "
            f"{events:,} events, {users:,} users, 100 experiments with 3 metrics",
        )  # fmt: skip
        yield Figure("rollup", "one day, all rollups", first.seconds, "s", None, "less",
                     "one GROUP BY user_id", grouped)  # fmt: skip
        yield Figure("rollup", "memory of ClickHouse meanwhile", peak[0], "MB", 4_000, "less")
        yield Figure(
            "rollup", "after one late event", again.seconds, "s", None, "less", "all of the full day", first.seconds,
            note="only the day of the late event is built again",
        )  # fmt: skip
        yield Figure(
            "rollup", "after 1,000 users of the full day were assigned", added.seconds, "s", None, "less",
            "all of the full day", first.seconds,
            note=f"{added.histories:,} rows of what they did before are added; no day is built again",
        )  # fmt: skip


def significance(rig: Rig) -> Iterator[Figure]:
    """Results, quality and decisions of 100 experiments with 20 metrics each, written; without results by dimension."""
    users = rig.pick(10_000_000, 1_000_000)
    kinds = ("proportion", "mean")
    metrics = {f"type_{number}": kinds[number % 2] for number in range(20)}
    with rig.analytic() as clickhouse:
        made = dataset.experiments(rig, clickhouse, "sig", 100, metrics)
        dataset.assign(clickhouse, made, users)
        names = [f"sig-000.{name}" for name in metrics]
        dataset.user_rollup(clickhouse, made, names, users, 2)
        await_merges(clickhouse)
        summed = _seconds(
            clickhouse,
            "select count(), sum(total) from (select experiment_id, metric, user_id, sum(value_sum) as total "
            "from user_rollup group by experiment_id, metric, user_id)",
        )
        rollups.tell_changed(clickhouse, [], of_all=True)
        with rig.peak_memory("clickhouse") as peak:
            published = publish(clickhouse)
        clickhouse.insert("changed_experiments", ["experiment_id"], [[one] for one in made.ids[:10]])
        of_ten = publish(clickhouse)
        if len(published.results) != 100 * 20 * 2:
            raise BenchError(f"{len(published.results):,} results of 100 experiments × 20 metrics × 2 variants")
        if len(of_ten.results) != 10 * 20 * 2:
            raise BenchError(f"{len(of_ten.results):,} results of the ten experiments that changed")
        seconds = published.seconds
        yield Figure(
            "significance", "100 experiments × 20 metrics", seconds["seconds"], "s", 2, "less",
            "one GROUP BY experiment, metric, user over the same rollups", summed,
            note=f"{users:,} users, 2 rollup rows each; {seconds['seconds_reading']:.2f} s of it reading from "
            f"ClickHouse, which used at most {peak[0]:,.0f} MB",
        )  # fmt: skip
        yield Figure(
            "significance", "when 10 of these experiments changed", of_ten.seconds["seconds"], "s", None, "less",
            "all 100 of them", seconds["seconds"],
        )  # fmt: skip


def reading(rig: Rig) -> Iterator[Figure]:
    """One experiment with many users and events, read through the API at 20 requests a second."""
    users = rig.pick(10_000_000, 1_000_000)
    steps = 10
    with rig.analytic() as clickhouse:
        made = dataset.experiments(rig, clickhouse, "read", 1, {"conversion": "proportion", "conversion:value": "mean"})
        dataset.assign(clickhouse, made, users // 10)
        names = ["read-000.conversion", "read-000.conversion.value"]
        dataset.user_rollup(clickhouse, made, names, users // 10, 1)
        rollups.tell_changed(clickhouse, [], of_all=True)
        publish(clickhouse)
        dataset.journeys(clickhouse, made, users, steps)
        dataset.series(clickhouse, made, users * steps)
        await_merges(clickhouse)
        base = "/v1/experiments/read-000"
        paths = [
            ("results", f"{base}/results"),
            ("summary", f"{base}/summary"),
            ("journeys, a page of 100", f"{base}/journeys"),
            ("journeys of one user", f"{base}/journeys?user_id={{user}}"),
            ("time series by hour", f"{base}/timeseries?grain=hour"),
            ("time series by day", f"{base}/timeseries?grain=day"),
        ]
        outcome = client.run(rig.target, Plan(Reads(paths, users), 32, rig.pick(60.0, 12.0), 20)).only(200)
        for label, _ in paths:
            p50, p95 = np.percentile(outcome.latency_of(label), (50, 95))
            yield Figure("reading", f"{label}, p95", float(p95), "ms", 300, "less", note=f"p50 {p50:.0f} ms")
        whole = float(np.percentile(outcome.latency_ms, 95))
        yield Figure(
            "reading", "all six, p95", whole, "ms", 300, "less",
            note=f"one experiment, {users:,} users with {users * steps:,} events in their journeys",
        )  # fmt: skip


def _build(settings: Settings) -> rollups.Rolled:
    with rollups.lock(settings, "bench") as clickhouse:
        return rollups.build(clickhouse, settings)


def _seconds(clickhouse: ClickHouse, query: str) -> float:
    """The best of three: the first one warms the page cache, as it is for what follows."""
    took = []
    for _ in range(3):
        began = time.monotonic()
        clickhouse.rows(query)
        took.append(time.monotonic() - began)
    return min(took)
