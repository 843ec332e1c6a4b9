"""The command `neonblue`: assembly only; each command is in neonblue_local/commands."""

import logging
import sys

import typer

from neonblue_local.commands import look, stack
from neonblue_local.commands.analyze import analyze
from neonblue_local.commands.demo import demo
from neonblue_local.commands.import_ import import_
from neonblue_local.commands.tokens import tokens
from neonblue_local.errors import LocalError

commands = typer.Typer(
    help="""Run the whole of NeonBlue on one machine, and look at it.

    neonblue up

    neonblue results cookie_cats

    neonblue down
    """,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,
    add_completion=False,
)

for command in (
    stack.up,
    demo,
    look.status,
    look.results,
    analyze,
    look.logs,
    stack.doctor,
    stack.env,
    stack.down,
    stack.reset,
):
    commands.command()(command)
commands.command("import")(import_)
commands.add_typer(tokens, name="tokens")


def app() -> None:
    """Entry point: a known error is one message on standard error and exit code 1."""
    # Clients report each refused connection while a server is still starting.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        commands()
    except LocalError as error:
        typer.echo(f"neonblue: {error}", err=True)
        sys.exit(1)
