"""`neonblue backup`, `neonblue restore`: both databases into a folder, and back into an empty stack."""

import json
from pathlib import Path
from typing import Annotated

import typer

from neonblue_local import stack
from neonblue_local.home import Home
from neonblue_local.parts import select
from neonblue_local.pipeline import is_embedded, pipeline_settings
from neonblue_local.progress import Progress
from neonblue_local.supervision import Supervisor

_STORAGE = ["postgres", "kafka", "connect", "clickhouse"]


def backup(
    folder: Annotated[Path, typer.Argument(help="New or empty; one for each backup.")],
    as_json: Annotated[bool, typer.Option("--json", help="For a program: JSON on standard output.")] = False,
) -> None:
    """Write a backup of PostgreSQL and ClickHouse, while everything runs.

    neonblue backup /backups/2026-01-31
    """
    from neonblue_pipeline import backup as backups

    with pipeline_settings() as settings:
        made = backups.make(settings, folder, tell=lambda line: typer.echo(line, err=True))
    rows = sum(table.rows for table in made.tables)
    if as_json:
        print(
            json.dumps({"folder": str(folder), "bytes": made.bytes, "clickhouse_rows": rows, "ended_at": made.ended_at})
        )
    else:
        typer.echo(f"{folder}: {made.bytes:,} bytes, {rows:,} rows of ClickHouse; `neonblue restore {folder}` reads it")


def restore(
    folder: Annotated[Path, typer.Argument(help="What `neonblue backup` wrote.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Lose what this stack holds.")] = False,
    erasures: Annotated[
        Path | None, typer.Option(help="What `neonblue privacy ledger` wrote since the backup.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For a program: JSON on standard output.")] = False,
) -> None:
    """Bring both databases back to what they were, in an empty stack, and send again what lies between the two.

    neonblue restore /backups/2026-01-31

    What cannot be restored is refused before anything is touched. The embedded stack is stopped, restored and started
    by it. With servers of your own (NEONBLUE_POSTGRES_URL in the environment) stop the API and Dagster before, and
    start them after it. One that was cut short is repeated: until then nothing is accepted and `neonblue up` refuses.
    Exit code 1 if something is missing.
    """
    from neonblue_pipeline import restore as restoring

    home = Home.from_environment()
    embedded = is_embedded(home)
    runs = embedded and Supervisor(home).is_running()
    if embedded and not runs:
        stack.up(home, select(_STORAGE), Progress())
    with pipeline_settings() as settings:
        try:
            found, erased = restoring.examine(settings, folder.absolute(), overwrite=overwrite, erasures=erasures)
        except Exception:
            # Refused: everything is left as it was.
            if embedded and not runs:
                stack.down(home, Progress())
            raise
        if runs:
            # Nothing may be accepted, rolled up or repaired meanwhile.
            stack.down(home, Progress())
            stack.up(home, select(_STORAGE), Progress())
        healed = restoring.restore(
            settings, folder.absolute(), found, erased, tell=lambda line: typer.echo(line, err=True)
        )
    if embedded:
        stack.up(home, select(None), Progress())
    left = [str(window) for window in healed.left]
    if as_json:
        told = {
            "unequal_windows": len(healed.unequal),
            "resent": healed.resent,
            "derived": healed.derived,
            "left": left,
        }
        print(json.dumps(told))
    else:
        typer.echo(
            f"restored; {healed.resent + healed.derived:,} rows sent again; rollups are built again within minutes; "
            "`neonblue verify` proves it"
        )
    for window in left:
        typer.echo(f"still unequal: {window}", err=True)
    raise typer.Exit(1 if left else 0)
