"""`neonblue alarms`: what is broken now, since when, how bad, what to do; and whether messages reach anyone."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neonblue_local.pipeline import pipeline_settings

if TYPE_CHECKING:
    from neonblue_pipeline.settings import Settings


def alarms(
    everything: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Send a test message to each of NEONBLUE_ALARM_URLS.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="For a program: JSON on standard output.")] = False,
) -> None:
    """List what is broken: since when, how bad, what to do. Exit code 1 if anything serious is.

    neonblue alarms

    neonblue alarms --test
    """
    from neonblue_pipeline import alarms

    with pipeline_settings() as settings:
        if test:
            _test(settings)
            return
        found = alarms.read(settings, everything=everything, limit=limit)
    broken = any(alarm.serious and alarm.healed_at is None for alarm in found)
    if as_json:
        print(json.dumps([asdict(alarm) for alarm in found], default=lambda moment: moment.isoformat()))
        raise typer.Exit(1 if broken else 0)
    if not found:
        typer.echo("no alarms" if everything else "nothing is broken")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("since (UTC)", "until", "what", "how bad", "what to do"):
        table.add_column(title, overflow="fold")
    for alarm in found:
        table.add_row(
            f"{alarm.since:%Y-%m-%d %H:%M:%S}",
            f"{alarm.healed_at:%Y-%m-%d %H:%M:%S}" if alarm.healed_at else Text("now", "bold red"),
            Text(alarm.what),
            Text(alarm.how_bad),
            Text(alarm.cure),
        )
    console = Console()
    Console(width=None if console.is_terminal else 240).print(table)
    raise typer.Exit(1 if broken else 0)


def _test(settings: "Settings") -> None:
    from neonblue_pipeline import notify

    to = notify.destinations(settings)
    if not to:
        typer.echo("NEONBLUE_ALARM_URLS is not set: alarms are in `neonblue alarms` and in the log only")
    for destination in to:
        destination.send("NeonBlue: a test", "Nothing is broken: somebody asked for this message.", healed=True)
        typer.echo(f"{destination}: taken")
