"""`make chaos`: faults under load on a stack of its own, alone and in pairs; the table of docs/reliability.md."""

import argparse
import random
import sys
import time
from datetime import UTC, datetime

import psutil

from neonblue_local.home import PROJECT
from tests.chaos import faults, trial
from tests.chaos.load import Load
from tests.fix_stack import Stack

PAGE = PROJECT / "docs" / "reliability.md"
_BEGIN, _END = "<!-- produced by make chaos: begin -->\n", "<!-- end -->\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", default="all", help=f"all, or some of: {', '.join(faults.FAULTS)}")
    parser.add_argument("--rate", type=float, default=1000, help="events a second")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--times", type=int, default=1, help="how often each fault strikes")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.rate:.0f} events a second", flush=True)
    chance = random.Random(options.seed)
    todo = faults.chosen(options.faults) * options.times
    chance.shuffle(todo)
    stack = Stack()
    outcomes: list[trial.Outcome] = []
    broken: list[str] = []
    try:
        stack.up()
        target = faults.Target(stack)
        load = Load(stack.settings, options.seed, options.rate)
        load.prepare()
        load.start()
        for fault in todo:
            time.sleep(chance.uniform(1, 5))  # a random moment is part of the fault
            print(f"{datetime.now(UTC):%H:%M:%S} {fault.name} … ", end="", flush=True)
            try:
                outcome = trial.run(target, load, fault)
            except (AssertionError, OSError, psutil.Error) as error:
                broken.append(f"{fault.name}: {error}")
                print(f"BROKEN: {error}", flush=True)
                continue
            outcomes.append(outcome)
            print(f"whole after {outcome.whole_s:.1f} s, {outcome.lost} lost, {outcome.doubled} doubled", flush=True)
        verdict = (
            f"In the end {len(load.ledger.acked):,} events acknowledged, {len(load.ledger.unknown):,} refused or "
            "without an answer; "
        )
        try:
            trial.settle(target, load)
            verdict += "every hop proven, results equal to a sum over the events."
        except AssertionError as error:
            broken.append(f"in the end: {error}")
            verdict += f"NOT whole: {str(error)[:300]}"
        if broken:
            verdict += f" Not whole in time: {'; '.join(told[:120] for told in broken)}."
        print(verdict, flush=True)
    finally:
        stack.remove()
    text = table(outcomes, options.seed, options.rate, verdict)
    if options.write:
        page = PAGE.read_text()
        head, rest = page.split(_BEGIN)
        PAGE.write_text(head + _BEGIN + text + _END + rest.split(_END)[1])
    else:
        print(text)
    print("\n".join(broken), file=sys.stderr)
    return 1 if broken or any(o.lost or o.doubled or o.invented for o in outcomes) else 0


def table(outcomes: list[trial.Outcome], seed: int, rate: float, verdict: str) -> str:
    lines = [
        f"Run of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, seed {seed}, {rate:.0f} events a second.\n\n",
        "| fault | repaired by | API silent, s | whole again after, s | acknowledged meanwhile | lost | doubled |\n",
        "|---|---|---:|---:|---:|---:|---:|\n",
    ]
    lines += [
        f"| {o.fault} | {o.repair} | {o.silent_s:.1f} | {o.whole_s:.1f} | {o.acked:,} | {o.lost} | {o.doubled} |\n"
        for o in sorted(outcomes, key=lambda o: o.fault)
    ]
    return "".join(lines) + f"\n{verdict}\n"


if __name__ == "__main__":
    sys.exit(main())
