"""neonblue up, down, env: the embedded stack as a whole."""

import shlex
from typing import Annotated

import typer

from neonblue_local import environment, stack
from neonblue_local.home import Home
from neonblue_local.parts import select
from neonblue_local.progress import Progress


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
    stack.up(home, parts, Progress())


def down() -> None:
    """Stop everything; the data stays.

    neonblue down
    """
    home = Home.from_environment()
    ran = stack.down(home, Progress())
    typer.echo(f"stopped; data stays in {home.root}" if ran else f"nothing runs in {home.root}")


def env() -> None:
    """Print the stack's settings as lines for a shell; they hold its passwords.

    eval "$(neonblue env)"
    """
    for name, value in environment.read(Home.from_environment()).items():
        typer.echo(f"export {name}={shlex.quote(value)}")
