"""neonblue up, down, reset, doctor, env: the embedded stack as a whole."""

import json
import os
import shlex
import shutil
import time
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from neonblue_local import environment, stack
from neonblue_local.errors import SettingsError
from neonblue_local.home import Home
from neonblue_local.parts import select
from neonblue_local.progress import Progress

_PAGES = ("api", "dagster-webserver", "clickhouse", "connect")


def up(
    only: Annotated[
        str | None, typer.Option(help="Comma-separated parts; what they need is started too. Default: everything.")
    ] = None,
) -> None:
    """Start every part and wait until each answers. Doing it again is harmless.

    neonblue up

    neonblue up --only postgres,kafka

    NEONBLUE_HOME=/tmp/second NEONBLUE_PORT_BASE=18000 neonblue up
    """
    home = Home.from_environment()
    parts = select(only.split(",") if only else None)
    begin = time.monotonic()
    settings = stack.up(home, parts, Progress())
    console = Console()
    for part in parts:
        where = f"http://{part.address(home)}" if part.name in _PAGES else part.address(home)
        console.print(f"{part.name:<18}{where:<32}{part.what}", highlight=False, soft_wrap=True)
    seconds = time.monotonic() - begin
    said = f"up in {seconds:.1f} s; state and logs in {settings['NEONBLUE_HOME']}; stop with `neonblue down`"
    console.print(said, highlight=False, soft_wrap=True)


def down() -> None:
    """Stop everything; the data stays.

    neonblue down
    """
    home = Home.from_environment()
    ran = stack.down(home, Progress())
    typer.echo(f"stopped; data stays in {home.root}" if ran else f"nothing runs in {home.root}")


def reset(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Stop everything and delete all data, settings and logs of this stack.

    neonblue reset --yes
    """
    home = Home.from_environment()
    if not home.root.exists():
        typer.echo(f"nothing to delete: {home.root} does not exist")
        return
    if home.root.is_dir() and any(home.root.iterdir()) and not home.owns_folder():
        raise SettingsError(f"{home.root} is no state folder of NeonBlue; delete it yourself if it has to go")
    if not yes:
        typer.confirm(f"Delete all experiments, events and results in {home.root}?", abort=True)
    stack.down(home, Progress())
    shutil.rmtree(home.root)
    typer.echo(f"deleted {home.root}")


def doctor(
    servers: Annotated[
        bool, typer.Option("--servers", help="Look at the servers only, as NEONBLUE_* names them: a deployment.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For a program: JSON.")] = False,
) -> None:
    """Look for what is missing or broken, and name the way out. Changes nothing. Exit code 1 if there is something.

    neonblue doctor

    neonblue doctor --servers
    """
    from neonblue_local import deployment, examination
    from neonblue_local.supervision import Supervisor

    home = Home.from_environment()
    findings = [] if servers else examination.examine(home)
    # What a part that does not run would make of the servers is said already.
    runs = home.env_file.is_file() and Supervisor(home).is_running() and not any(one.problem for one in findings)
    if servers or runs:
        own = environment.read(home) if home.env_file.is_file() else {}
        findings += deployment.examine(own | os.environ)
    ok = all(finding.problem is None for finding in findings)
    if as_json:
        print(json.dumps({"ok": ok, "findings": [asdict(finding) for finding in findings]}))
    else:
        console = Console()
        for finding in findings:
            mark = Text("ok   ", "green") if finding.problem is None else Text("FIX  ", "bold red")
            said = Text(f"{finding.subject}: {finding.problem or finding.found}")
            console.print(mark + said, soft_wrap=True)
    raise typer.Exit(0 if ok else 1)


def env() -> None:
    """Print the stack's settings as lines for a shell; they hold its passwords.

    eval "$(neonblue env)"
    """
    for name, value in environment.read(Home.from_environment()).items():
        typer.echo(f"export {name}={shlex.quote(value)}")
