"""Processes of a stack whose supervisor is gone: a supervisord that is killed (-9) leaves its children running.

They are known by two variables in their environment: NEONBLUE_HOME names the state folder, NEONBLUE_PART the part. The
second is set by the supervisor only, so a shell that ran `eval "$(neonblue env)"` is never taken for one.
"""

import os
import signal

import psutil

from neonblue_local.home import Home
from neonblue_local.parts import PARTS, STOP_ORDER


def find(home: Home) -> dict[str, list[psutil.Process]]:
    """Processes of this state folder by part; the command that asks and those that started it are left out."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            if process.pid in own or process.status() == psutil.STATUS_ZOMBIE:
                continue
            variables = process.environ()
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue
        if variables.get("NEONBLUE_HOME") == str(home.root) and (part := variables.get("NEONBLUE_PART")):
            found.setdefault(part, []).append(process)
    return found


def describe(found: dict[str, list[psutil.Process]]) -> str:
    return ", ".join(f"{part} ({' '.join(str(p.pid) for p in processes)})" for part, processes in found.items())


def end(found: dict[str, list[psutil.Process]]) -> None:
    """Ask each part to stop, in the stack's stop order; kill what does not. Returns when all are gone."""
    order = [["supervisord"], *(list(names) for names in STOP_ORDER)]
    order.append([name for name in found if not any(name in names for names in order)])
    for names in order:
        processes = [process for name in names for process in found.get(name, [])]
        seconds = max((PARTS[name].seconds_to_stop() for name in names if name in PARTS), default=10)
        for name in names:
            number = signal.SIGINT if name == "postgres" else signal.SIGTERM
            for process in found.get(name, []):
                _send(process, number)
        _, alive = psutil.wait_procs(processes, timeout=seconds)
        for process in alive:
            _send(process, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=10)


def _send(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
