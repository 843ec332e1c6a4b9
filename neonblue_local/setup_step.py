"""Tables, topics and connector: asked of the pipeline at each start, brought in when something is missing.

What is to be done, and whether it is done, only neonblue_pipeline knows; this file runs its command.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping

from neonblue_local.errors import PartFailed
from neonblue_local.home import Home
from neonblue_local.progress import Progress

_COMMAND = (sys.executable, "-m", "neonblue_pipeline.setup")


def run(home: Home, settings: Mapping[str, str], progress: Progress) -> None:
    """Bring everything in that is missing; PartFailed with the log if it does not succeed."""
    begin = time.monotonic()
    progress.starting("setup")
    what = "everything is in place"
    if _run(home, settings, "--check") != 0:
        what = "tables, topics and connector brought in"
        if code := _run(home, settings):
            log = home.log_file("setup")
            lines = log.read_text(errors="replace").splitlines()[-8:]
            raise PartFailed(
                f"setup: ended with {code}. Last lines of its log {log}:"
                + "".join(f"\n    {line[:1000]}" for line in lines)
                + "\nRepair what it names, then `neonblue up` again; `neonblue down` stops the rest"
            )
    progress.ready("setup", time.monotonic() - begin, what)


def _run(home: Home, settings: Mapping[str, str], *arguments: str) -> int:
    # NEONBLUE_PART marks it as a process of this stack, so that `down` finds one that was left behind.
    environment = {**os.environ, **settings, "NEONBLUE_PART": "setup"}
    with home.log_file("setup").open("a") as log:
        log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} setup {' '.join(arguments)}\n")
        log.flush()
        result = subprocess.run(  # noqa: S603  (our own program and arguments)
            [*_COMMAND, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return result.returncode
