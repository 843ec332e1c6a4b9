"""Parts `start` and `statistics`: the stack from stop to answer, and the arithmetic beside that of others."""

import re
import time
from collections.abc import Iterator

from bench import stats
from bench.figures import Figure
from bench.rig import BenchError, Rig


def start(rig: Rig) -> Iterator[Figure]:
    """Stops the stack and starts it again: files are in the page cache, the JVMs' class archives are written."""
    rig.stack.down()
    began = time.monotonic()
    said = rig.stack.up().stderr
    took = time.monotonic() - began
    found = re.search(r"dagster-code\s+ready in\s+([\d.]+) s", said)
    if found is None:
        raise BenchError(f"`neonblue up` does not say when Dagster's code location was ready: {said[-500:]}")
    yield Figure("start", "whole stack, warm", took, "s", 12, "less", note="from the command to its last part's answer")
    yield Figure("start", "Dagster's code location", float(found[1]), "s", 4, "less",
                 note="while everything else of the stack starts, too")  # fmt: skip
    # The archives were just read; what the new processes have in memory is what they need at rest.
    yield Figure("memory", "whole stack after its start", rig.memory_mb(), "MB", None, "less")


def statistics(rig: Rig) -> Iterator[Figure]:
    """Microseconds of one comparison, the p-values held against those of the others; needs no stack."""
    for row in stats.measure():
        others = {"gbstats": row["gbstats_us"], "tea-tasting": row["tea_tasting_us"]}
        name, fastest = min(((n, us) for n, us in others.items() if us), key=lambda other: other[1])
        yield Figure("statistics", f"{row['test']}, one of 10,000 comparisons", row["neonblue_us"], "µs", None, "less",
                     f"{name}, one comparison a call", fastest)  # fmt: skip
