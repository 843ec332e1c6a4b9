"""The faults: what is done to a running stack, and what brings it back: the stack itself or one command.

Kills and stops are here; faults of positions and tables in `positions`, of writers, clients and data in `writers`.
"""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations

import psutil

from tests.chaos import positions, writers
from tests.chaos.target import Target, frozen

SERVERS = ("postgres", "kafka", "connect", "clickhouse", "api")
PARTS = (*SERVERS, "dagster-daemon")
STOPPED_S = 30
DOWN_S = 90


@dataclass(frozen=True)
class Fault:
    """`strike` does the harm; `cure` is the command of `neonblue` that repairs it, None if none is needed.

    `recover` is also what the sensor `broken_stream` asks for: without a command the repair starts half a minute later.
    """

    name: str
    strike: Callable[[Target], None]
    cure: str | None = None


def kill(*parts: str) -> Fault:
    def strike(target: Target) -> None:
        for part in parts:
            target.kill(part)

    return Fault(f"kill -9 of {' and '.join(parts)}", strike)


def stop(*parts: str) -> Fault:
    def strike(target: Target) -> None:
        with frozen([process for part in parts for process in target.processes(part)]):
            target.wait(STOPPED_S)

    return Fault(f"SIGSTOP of {' and '.join(parts)} for {STOPPED_S} s", strike)


def stop_and_kill(stopped: str, killed: str) -> Fault:
    def strike(target: Target) -> None:
        with frozen(target.processes(stopped)):
            target.kill(killed)
            target.wait(STOPPED_S)

    return Fault(f"kill -9 of {killed} while {stopped} is stopped", strike)


def down(part: str, seconds: float = DOWN_S) -> Fault:
    """Long enough for an alarm, and for work to pile up before it."""

    def strike(target: Target) -> None:
        with target.down(part):
            target.wait(seconds)

    return Fault(f"{part} down for {seconds:.0f} s", strike)


def _lose_power(target: Target) -> None:
    everything = target.everything()
    # Stopped first, so that nobody sees another die; one that has ended meanwhile is dead already.
    with frozen(everything):
        for process in everything:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    psutil.wait_procs(everything, timeout=10)
    target.stack.up()


def _kill_daemon_in_a_run(target: Target) -> None:
    """Daemon and runs die while a job of the schedule is at work, or within a minute of waiting for one."""
    target.await_run(60)
    target.kill("dagster-daemon")
    target.kill("dagster-code")


SINGLE: dict[str, Fault] = {
    **{f"kill-{part}": kill(part) for part in SERVERS},
    "kill-dagster": Fault("kill -9 of the Dagster daemon in a run", _kill_daemon_in_a_run),
    **{f"stop-{part}": stop(part) for part in PARTS},
    **{f"down-{part}": down(part) for part in ("kafka", "connect", "clickhouse")},
    "power": Fault("power loss of everything", _lose_power),
    "slot-dropped": Fault("replication slot dropped", positions.drop_slot, "recover"),
    "slot-dropped-unattended": Fault("replication slot dropped, nobody there", positions.drop_slot),
    "slot-advanced": Fault("replication slot advanced by hand", positions.advance_slot, "recover"),
    "offsets-wiped": Fault("Connect's offsets wiped", positions.wipe_offsets),
    "offset-ahead": Fault("Connect's offset ahead of PostgreSQL", positions.push_offset_ahead, "recover"),
    "offsets-topic-deleted": Fault("Connect's offsets topic deleted, Connect killed", positions.delete_offsets_topic),
    "group-reset": Fault("consumer group set to the end", positions.reset_group, "replay"),
    "group-rewound": Fault("consumer group set to the beginning", positions.rewind_group),
    "topic-recreated": Fault("topic deleted and made again", positions.recreate_topic, "recover"),
    "reconfigured": Fault("connector reconfigured during a rebalance", positions.reconfigure),
    "table-dropped": Fault("ClickHouse: events_rows dropped", positions.drop_table, "recover"),
    "table-dropped-unattended": Fault("ClickHouse: events_rows dropped, nobody there", positions.drop_table),
    "clickhouse-lost": Fault("ClickHouse: the whole database dropped", positions.lose_clickhouse, "recover"),
    "rollup-killed": Fault("a rollup killed between staging and swap", positions.kill_rollup),
    "rollup-cut": Fault("a day of a rollup dropped, staging half filled", positions.cut_rollup, "replay"),
    "two-replays": Fault("two replays of everything at once", positions.replay_twice),
    "cut-before-reply": Fault("connections cut between commit and reply", writers.cut_before_reply),
    "poison": Fault("messages that cannot be read", writers.poison),
    "big-event": Fault("an event with 5 MB of properties", writers.big_event),
    "long-transaction": Fault("a transaction open for two minutes, Connect killed", writers.hold_transaction),
    "interleaved": Fault("interleaved transactions, Connect and PostgreSQL killed", writers.interleave),
    "idle": Fault("no events for 45 s, Connect killed meanwhile", writers.idle),
    "clock-ahead": Fault("clients' clocks ten minutes ahead, Connect killed", writers.clock_ahead),
    "clock-behind": Fault("clients' clocks ten minutes behind, Connect killed", writers.clock_behind),
    "week-late": Fault("every event a week late, ClickHouse killed", writers.week_late),
    "column-added": Fault("a column added to the outbox", writers.add_column),
}
PAIRS: dict[str, Fault] = {
    **{f"kill-{a}-{b}": kill(a, b) for a, b in combinations(PARTS, 2)},
    **{f"stop-{a}-{b}": stop(a, b) for a, b in combinations(PARTS, 2)},
    **{f"stop-{a}-kill-{b}": stop_and_kill(a, b) for a in PARTS for b in PARTS if a != b},
}
# By name or as the group `hours` only: what has piled up needs more than the usual patience.
HOURS: dict[str, Fault] = {f"hour-{part}": down(part, 3600) for part in ("kafka", "connect", "clickhouse")}
FAULTS = SINGLE | PAIRS | HOURS
_NIGHTLY_PAIRS = 6


def chosen(names: str, chance: random.Random) -> list[Fault]:
    """Faults by their names, separated by commas, or groups: `single`, `pairs`, `all` (both), `nightly`, `hours`."""
    groups: dict[str, Sequence[str]] = {
        "single": list(SINGLE),
        "pairs": list(PAIRS),
        "all": [*SINGLE, *PAIRS],
        "hours": list(HOURS),
        "nightly": [*SINGLE, *chance.sample(sorted(PAIRS), _NIGHTLY_PAIRS)],
    }
    wanted = [one for name in names.split(",") for one in groups.get(name, [name])]
    unknown = set(wanted) - FAULTS.keys()
    assert not unknown, f"no faults {sorted(unknown)}; there are {', '.join((*groups, *FAULTS))}"
    return [FAULTS[name] for name in wanted]
