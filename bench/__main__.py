"""`make bench`: the figures of NeonBlue on this machine beside their goals and what others reach on it, in one run.

    make bench                                  everything, 13 to 22 minutes
    make bench ARGS="--quick"                   everything in small sizes, about 3 minutes
    make bench ARGS="intake latency"            these parts alone
    python -m bench --quick rollup              the same without make

It starts a stack of its own and removes it with its data at the end. The table goes to the terminal, the figures with
facts of the machine to bench/results/<time>.json and, where all parts ran on a machine that was quiet before, the table
into docs/performance.md.
"""

import argparse
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from bench import analytics, drain, figures, intake, latency, machine, start, storage, sustained
from bench.figures import Figure
from bench.rig import Rig
from neonblue_local.home import PROJECT
from tests.fix_stack import Stack

RESULTS = PROJECT / "bench" / "results"
PAGE = PROJECT / "docs" / "performance.md"
# Of all cores, before anything is started.
_QUIET_PERCENT = 20
_BEGIN, _END = "<!-- produced by make bench: begin -->\n", "<!-- end -->\n"
# In the order in which they run: latency while the day has few events, intake and what follows with Dagster at rest,
# the last three with ClickHouse emptied for each.
PARTS: dict[str, tuple[str, Callable[[Rig], Iterator[Figure]]]] = {
    "start": ("start from warm, Dagster's code location", start.start),
    "statistics": ("one comparison against gbstats and tea-tasting", start.statistics),
    "latency": ("commit to visible, 202, new and repeat assignment", latency.measure),
    "sustained": ("the rate that the whole way holds; memory; CPU budget of an event", sustained.measure),
    "intake": ("the API alone: batches of 500, single events", intake.measure),
    "drain": ("a backlog of events in the outbox to ClickHouse; relays and inserts of others", drain.measure),
    "storage": ("bytes of an event on disk", storage.storage),
    "volume": ("bytes of an event at each place until its retention", storage.volume),
    "rollup": ("one day of all rollups, and one late event", analytics.rollup),
    "significance": ("100 experiments × 20 metrics", analytics.significance),
    "reading": ("results, summary, journeys, time series through the API", analytics.reading),
}
_ALSO = {"budget": "sustained", "memory": "sustained"}


def main() -> int:
    options = _arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    chosen = {_ALSO.get(name, name) for name in options.parts or PARTS}
    facts, began = machine.facts(), datetime.now(UTC)
    quiet = facts["busy_percent"] <= _QUIET_PERCENT
    if not quiet:
        print(f"{facts['busy_percent']:.0f} % of the cores are in use: these figures tell of that, too", flush=True)
    found: list[Figure] = []
    broken: list[str] = []
    with ExitStack() as cleanup:
        stack = Stack()
        cleanup.callback(stack.remove)
        stack.up()
        rig = Rig(stack, quick=options.quick)
        for name in (name for name in PARTS if name in chosen):
            print(f"{datetime.now(UTC):%H:%M:%S} {name} … ", end="", flush=True)
            clock = time.monotonic()
            try:
                found += PARTS[name][1](rig)
            except Exception as error:  # noqa: BLE001 - told, kept in the results, and the other parts still run
                broken.append(f"{name}: {type(error).__name__}: {error}")
                traceback.print_exc()
            print(f"{time.monotonic() - clock:.0f} s", flush=True)
    took = (datetime.now(UTC) - began).total_seconds()
    _keep(began, took, options.quick, facts, found, broken)
    print(figures.as_text(found))
    text = _section(began, took, options.quick, facts, found, broken)
    if options.write or (chosen == set(PARTS) and quiet):
        page = PAGE.read_text()
        head, rest = page.split(_BEGIN)
        PAGE.write_text(head + _BEGIN + text + _END + rest.split(_END, 1)[1])
        print(f"the table is in {PAGE.relative_to(PROJECT)}")
    else:
        why = "not all parts ran" if chosen != set(PARTS) else "the machine was busy before"
        print(f"{PAGE.relative_to(PROJECT)} keeps its table: {why} (--write replaces it all the same)")
    for sentence in broken:
        print(f"BROKEN {sentence}")
    return 1 if broken else 0


def _arguments() -> argparse.Namespace:
    names = "\n".join(f"  {name:14}{what}" for name, (what, _) in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=f"parts, in the order in which they run:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="part", help="names of parts; all if left out")
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes, a third of the times")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md in any case")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS) - set(_ALSO):
        parser.error(f"part {min(unknown)!r} does not exist; the parts are {', '.join([*PARTS, *_ALSO])}")
    return options


def _keep(
    began: datetime, took: float, quick: bool, facts: dict[str, Any], found: list[Figure], broken: list[str]
) -> None:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{began:%Y-%m-%dT%H%M}{'-quick' if quick else ''}.json"
    content = {
        "began_at": f"{began:%Y-%m-%dT%H:%M:%SZ}",
        "seconds": round(took),
        "quick": quick,
        "machine": facts | {"load_average_after": [round(load, 2) for load in os.getloadavg()]},
        "figures": [figure.as_dict() for figure in found],
        "broken": broken,
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    print(f"\nfigures and facts: {path.relative_to(PROJECT)}\n")


def _section(
    began: datetime, took: float, quick: bool, facts: dict[str, Any], found: list[Figure], broken: list[str]
) -> str:
    size = "small sizes (--quick)" if quick else "full sizes"
    lines = [f"Run of {began:%Y-%m-%d %H:%M} UTC, {size}, {took / 60:.0f} minutes. {machine.described(facts)}.\n\n"]
    missed = sum(figure.met is False for figure in found)
    goals = sum(figure.goal is not None for figure in found)
    lines.append(f"{goals - missed} of {goals} goals met.\n\n{figures.as_markdown(found)}")
    lines += [f"\nNot measured: {sentence.splitlines()[0]}\n" for sentence in broken]
    return "".join(lines)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(f"signal {number}")


if __name__ == "__main__":
    sys.exit(main())
