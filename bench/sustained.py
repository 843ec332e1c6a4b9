"""Parts `sustained` and `budget`: the highest rate that the whole way holds, and what an event costs at each hop then.

A rate is held when, with everything of the stack running, the client's requests are answered when they are due and the
number of accepted events that cannot be queried yet does not grow.
"""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bench import client, references
from bench.client import Outcome, Plan
from bench.feeds import Batches
from bench.figures import Figure
from bench.rig import EXPERIMENT, Rig

_GOAL, _BATCH = 25_000, 500
# In seconds of the offered rate: what may be on its way, and how late a request may be sent or answered.
_BEHIND_S, _LATE_S = 3.0, 2.0
# The highest rate that was held and the lowest that was not need be no closer than this.
_CLOSE = 1.2


@dataclass(frozen=True)
class Trial:
    """One rate, offered for some seconds. `behind`: accepted events that could not be queried, by second."""

    rate: float
    outcome: Outcome
    behind: list[tuple[float, int]]
    visible_rate: float
    cpu_s: Mapping[str, float]
    seconds: float
    peak_mb: float

    @property
    def last_behind(self) -> float:
        """Median of the last quarter: one look may fall between two blocks."""
        return (
            float(np.median([n for _, n in self.behind[-max(len(self.behind) // 4, 1) :]])) if self.behind else np.inf
        )

    @property
    def held(self) -> bool:
        complete = set(self.outcome.statuses) == {202}
        on_time = np.percentile(self.outcome.latency_ms, 99) <= _LATE_S * 1e3
        return bool(complete and on_time and self.last_behind <= _BEHIND_S * self.rate)


def measure(rig: Rig) -> Iterator[Figure]:
    rig.population()
    rig.settle()
    idle = _idle(rig, rig.pick(15, 4))
    seconds = rig.pick(45, 12)
    trials = _search(rig, seconds)
    rig.check_exact()
    best = max((trial for trial in trials if trial.held), key=lambda trial: trial.rate, default=None)
    shown = best or trials[-1]
    direct = references.direct_insert(rig, rig.pick(8, 3))
    told = "; ".join(
        f"{t.rate:,.0f}/s {'held' if t.held else 'not held'} ({t.last_behind:,.0f} behind)" for t in trials
    )
    yield Figure(
        "sustained", "HTTP batch to visible in ClickHouse", best.rate if best else 0.0, "events/s", _GOAL, "more",
        "direct insert into ClickHouse, durable nowhere before", direct,
        note=f"each rate for {seconds} s: {told}; every accepted event was there once afterwards",
    )  # fmt: skip
    latency = shown.outcome.latency_ms
    yield Figure("sustained", "reply to a batch of 500, p50", float(np.percentile(latency, 50)), "ms", better="less")
    yield Figure("sustained", "reply to a batch of 500, p99", float(np.percentile(latency, 99)), "ms", better="less")
    yield Figure(
        "memory", "whole stack under the sustained load", max(t.peak_mb for t in trials), "MB", 4_000, "less",
        note="proportional set size of all processes, the largest of looks five seconds apart",
    )  # fmt: skip
    yield from _budget(shown, idle)


def _search(rig: Rig, seconds: float) -> list[Trial]:
    """Down from the goal until a rate is held, or up from it until one is not; then between the two."""
    trials: list[Trial] = []
    rate = float(_GOAL)
    while len(trials) < rig.pick(4, 3):
        trials.append(last := _offer(rig, rate, seconds))
        held = max((trial.rate for trial in trials if trial.held), default=None)
        missed = min((trial.rate for trial in trials if not trial.held), default=None)
        if held is None:
            rate *= min(max(0.9 * last.visible_rate / rate, 0.5), 0.85)
        elif missed is None:
            rate *= 1.15
        elif missed / held > _CLOSE:
            rate = (held * missed) ** 0.5
        else:
            break
    return trials


def _offer(rig: Rig, rate: float, seconds: float) -> Trial:
    rig.settle()
    plan = Plan(Batches(rig.users, EXPERIMENT, _BATCH), 32, seconds, rate / _BATCH)
    visible: list[tuple[float, int]] = []
    with rig.clickhouse() as clickhouse, rig.peak_memory(every_s=5) as peak, client.started(rig.target, plan) as future:
        # What was delivered twice would be counted twice; that is checked afterwards.
        def look() -> int:
            return int(clickhouse.rows("select count() from events_rows")[0][0])

        first, spent, began = look(), rig.cpu_seconds(), time.monotonic()
        while not future.done():
            visible.append((time.monotonic(), look() - first))
            time.sleep(0.5)
        outcome = future.result()
        rig.settle()
        now = rig.cpu_seconds()
        took = time.monotonic() - began
    # The work on what was behind is counted, too: an event is paid for to its end.
    cpu = {part: now[part] - spent.get(part, 0.0) for part in now} | {"load client": outcome.cpu_s}
    start, end = outcome.sent.min(), outcome.done.max()
    order = np.argsort(outcome.done)
    accepted = np.cumsum(outcome.accepted[order])

    def accepted_until(moment: float) -> int:
        n = int(np.searchsorted(outcome.done[order], moment))
        return int(accepted[n - 1]) if n else 0

    within = [(t, n) for t, n in visible if start <= t <= end]
    behind = [(t - start, max(accepted_until(t) - n, 0)) for t, n in within]
    rate_seen = within[-1][1] / (within[-1][0] - start) if within else 0.0
    return Trial(rate, outcome, behind, rate_seen, cpu, took, peak[0])


def _idle(rig: Rig, seconds: float) -> dict[str, float]:
    """Share of a core that each part uses when nothing is sent."""
    before, began = rig.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    after, took = rig.cpu_seconds(), time.monotonic() - began
    return {part: max(after[part] - before.get(part, 0.0), 0.0) / took for part in after}


def _budget(trial: Trial, idle: Mapping[str, float]) -> Iterator[Figure]:
    events, total = trial.outcome.events, 0.0
    for part, spent in sorted(trial.cpu_s.items(), key=lambda item: -item[1]):
        us = spent * 1e6 / events
        total += us
        share = idle.get(part, 0.0)
        note = f"at rest it uses {share:.1%} of a core" if share >= 0.005 else ""
        yield Figure("budget", part, us, "CPU µs/event", better="less", note=note)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Figure("budget", "sum of all", total, "CPU µs/event", better="less")
    yield Figure(
        "budget", "what the cores could carry", cores * 1e6 / total, "events/s", better="more",
        note=f"{cores} cores × 1,000,000 µs over the sum, the load client included; "
        f"in use were {sum(trial.cpu_s.values()) / trial.seconds:.2f} cores",
    )  # fmt: skip
