"""The command `neonblue`: assembly only; each command is in neonblue_local/commands."""

import logging
import sys

import typer

from neonblue_local.commands import look, stack
from neonblue_local.commands.alarms import alarms
from neonblue_local.commands.analyze import analyze
from neonblue_local.commands.audit import audit
from neonblue_local.commands.backup import backup, restore
from neonblue_local.commands.dead_letters import dead_letters
from neonblue_local.commands.demo import demo
from neonblue_local.commands.import_ import import_
from neonblue_local.commands.privacy import privacy
from neonblue_local.commands.prune import prune
from neonblue_local.commands.psql import psql
from neonblue_local.commands.replay import recover, replay
from neonblue_local.commands.tokens import tokens
from neonblue_local.commands.verify import verify
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

# In the order of use.
commands.command()(stack.up)
commands.command()(demo)
commands.command("import")(import_)
commands.command()(look.status)
commands.command()(alarms)
commands.command()(look.results)
commands.command()(verify)
commands.command()(replay)
commands.command()(recover)
commands.command("dead-letters")(dead_letters)
commands.command()(backup)
commands.command()(restore)
commands.command()(prune)
commands.add_typer(privacy, name="privacy")
commands.command()(analyze)
commands.add_typer(tokens, name="tokens")
commands.add_typer(audit, name="audit")
commands.command()(look.logs)
# Options of psql pass through; none of them is ours.
commands.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(psql)
commands.command()(stack.doctor)
commands.command()(stack.env)
commands.command()(stack.down)
commands.command()(stack.reset)


def app() -> None:
    """Entry point: a known error is one message on standard error and exit code 1."""
    # Clients report each refused connection while a server is still starting.
    for client in ("kafka", "clickhouse_connect"):
        logging.getLogger(client).setLevel(logging.CRITICAL)
    try:
        commands()
    except LocalError as error:
        typer.echo(f"neonblue: {error}", err=True)
        sys.exit(1)
