"""`neonblue prune`: drop old days now instead of with the daily run."""

import json
from typing import Annotated

import typer

from neonblue_local.pipeline import pipeline_settings


def prune(
    as_json: Annotated[bool, typer.Option("--json", help="For a program: JSON on standard output.")] = False,
) -> None:
    """Drop days of outbox and events and months of landing that are past their setting and proven. Never another.

    neonblue prune

    NEONBLUE_OUTBOX_KEEP_DAYS=7 neonblue prune

    The daily run does the same. Exit code 1 if a day that is past its time is not proven.
    """
    from neonblue_pipeline import retention

    with pipeline_settings() as settings:
        done = retention.drop_old_days(settings, tell=lambda line: typer.echo(line, err=True))
    held = [str(each) for each in done.held]
    if as_json:
        print(json.dumps({"dropped": done.dropped, "bytes_freed": done.bytes_freed, "held": held}))
    else:
        typer.echo(f"{len(done.dropped)} dropped, {done.bytes_freed:,} bytes of PostgreSQL freed")
    for line in held:
        typer.echo(line, err=True)
    raise typer.Exit(1 if held else 0)
