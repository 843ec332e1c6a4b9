"""`make chaos`: faults under load on a stack of its own, alone and in pairs; the table of docs/reliability.md."""

import argparse
import logging
import random
import signal
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from types import FrameType

from neonblue_local.home import PROJECT
from tests.chaos import faults, trial
from tests.chaos.load import Load
from tests.chaos.target import Target
from tests.fix_alarm_receiver import receiver
from tests.fix_stack import Stack

PAGE = PROJECT / "docs" / "reliability.md"
_BEGIN, _END = "<!-- produced by make chaos: begin -->\n", "<!-- end -->\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    groups = "single, pairs, all (both), nightly (single and six of the pairs), hours (a part down for an hour)"
    names = ", ".join(faults.FAULTS)
    parser.add_argument("--faults", default="all", help=f"some of: {groups}, {names}")
    parser.add_argument("--rate", type=float, default=1000, help="events a second")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--times", type=int, default=1, help="how often each fault strikes")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after so long no further fault strikes")
    parser.add_argument("--pace", type=float, default=1, help="0.4: stops and outages last 0.4 of their full length")
    parser.add_argument(
        "--prove",
        choices=("each", "end"),
        default="each",
        help="hops, ledger, result: after each fault or at the end",
    )
    parser.add_argument(
        "--patience", type=float, default=trial.PATIENCE_S, help="seconds until what is missing is lost"
    )
    parser.add_argument("--keep", action="store_true", help="end at the first loss and leave the stack as it is")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    options = parser.parse_args()
    # A server that is away is what these runs are about.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    chance = random.Random(options.seed)
    todo = faults.chosen(options.faults, chance) * options.times
    chance.shuffle(todo)
    print(f"seed {options.seed}, {options.rate:.0f} events a second, {len(todo)} faults", flush=True)
    run = Run(options.seed, options.rate, options.pace)
    with ExitStack() as cleanup:
        alarms = cleanup.enter_context(receiver())
        stack = Stack()
        target: Target | None = None
        # Whatever happens, nothing of this run goes on after it.
        cleanup.callback(lambda: target.sweep() if target else None)
        cleanup.callback(stack.remove)
        stack.up(NEONBLUE_ALARM_URLS=alarms.url)
        load = Load(stack.settings, options.seed, options.rate)
        target = Target(stack, load, options.pace)
        load.prepare()
        load.start()
        cleanup.callback(load.stop)
        deadline = time.monotonic() + options.minutes * 60
        for fault in todo:
            if time.monotonic() > deadline:
                run.left_out.append(fault.name)
                continue
            time.sleep(chance.uniform(1, 5) * min(1, options.pace))  # a random moment is part of the fault
            with run.told(fault.name):
                outcome = trial.run(target, load, fault, options.patience, alarms)
                run.outcomes.append(outcome)
                print(f"whole after {outcome.whole_s:.1f} s, {outcome.lost} lost, {outcome.doubled} doubled", end="")
                if options.prove == "each":
                    trial.prove(target, load, options.patience)
                    print(", proven", end="")
            if run.broken and options.keep:
                load.stop()
                cleanup.pop_all()
                print(f"left as it is: NEONBLUE_HOME={stack.home.root} NEONBLUE_PORT_BASE={stack.home.port_base}")
                return 1
        with run.told("in the end"):
            trial.prove(target, load, options.patience)
        run.acked, run.unknown, run.refused = len(load.ledger.acked), len(load.ledger.unknown), load.ledger.refused
        run.users = len(load.variants)
    text = run.table()
    if options.write:
        page = PAGE.read_text()
        head, rest = page.split(_BEGIN)
        PAGE.write_text(head + _BEGIN + text + _END + rest.split(_END)[1])
    print(text)
    return 1 if run.broken or any(o.lost or o.doubled or o.invented for o in run.outcomes) else 0


class Run:
    """What one run of `make chaos` found out."""

    def __init__(self, seed: int, rate: float, pace: float) -> None:
        self.seed, self.rate, self.pace = seed, rate, pace
        self.outcomes: list[trial.Outcome] = []
        self.broken: list[str] = []
        self.left_out: list[str] = []
        self.acked = self.unknown = self.refused = self.users = 0

    def told(self, name: str) -> "_Told":
        return _Told(self, name)

    def table(self) -> str:
        lines = [
            f"Run of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, seed {self.seed}, {self.rate:.0f} events a second"
            + ("" if self.pace == 1 else f"; stops, outages and waits {self.pace:g} times as long as named")
            + ".\n\n",
            "| fault | repaired by | API silent after it, s | alarm after, s | whole again after, s "
            "| acknowledged meanwhile | lost | doubled |\n",
            "|---|---|---:|---:|---:|---:|---:|---:|\n",
        ]
        for o in sorted(self.outcomes, key=lambda o: o.fault):
            alarm = "" if o.alarm_s is None else f"{o.alarm_s:.0f}"
            lines.append(
                f"| {o.fault} | {o.repair} | {o.silent_s:.1f} | {alarm} | {o.whole_s:.1f} "
                f"| {o.acked:,} | {o.lost} | {o.doubled} |\n"
            )
        verdict = (
            f"In the end {self.users:,} users assigned, {self.acked:,} events acknowledged, {self.unknown:,} without "
            f"an answer, {self.refused:,} refused; "
        ) + ("NOT whole: " + "; ".join(told[:200] for told in self.broken) if self.broken else _WHOLE)
        if self.left_out:
            verdict += f" Not struck for want of time: {', '.join(self.left_out)}."
        return "".join(lines) + f"\n{verdict}\n"


_WHOLE = "every hop proven, the ledger too, results equal to those computed from the events."


class _Told:
    """Prints a line for what happens inside; whatever a fault or a check raises is kept, and the run goes on."""

    def __init__(self, run: Run, name: str) -> None:
        self.run, self.name = run, name

    def __enter__(self) -> None:
        print(f"{datetime.now(UTC):%H:%M:%S} {self.name} … ", end="", flush=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is not None and isinstance(error, Exception):
            self.run.broken.append(f"{self.name}: {type(error).__name__}: {error}")
            print(f" BROKEN: {type(error).__name__}: {error}", flush=True)
            return True
        print(flush=True)
        return False


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(f"signal {number}")


if __name__ == "__main__":
    sys.exit(main())
