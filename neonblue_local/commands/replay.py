"""`neonblue replay`, `neonblue recover`: sending again what is missing, bringing a broken stream back."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from neonblue_local.errors import SettingsError
from neonblue_local.pipeline import moment, pipeline_settings

if TYPE_CHECKING:
    from neonblue_pipeline.replay import Healed

Json = Annotated[bool, typer.Option("--json", help="For a program: JSON on standard output.")]


def replay(
    start: Annotated[str | None, typer.Option("--from", metavar="TIME", help="UTC, of acceptance.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="UTC.")] = None,
    source: Annotated[str, typer.Option(help="outbox: the whole way; landing: only the tables behind it.")] = "outbox",
    as_json: Json = False,
) -> None:
    """Send again what is missing, or a whole span of time. Nothing is counted twice by it.

    neonblue replay

    neonblue replay --from 2026-01-31T10:00 --to 2026-01-31T10:30

    Without a span it compares everything that is kept, and sends only windows that differ. Exit code 1 if something is
    still missing.
    """
    from neonblue_pipeline import replay as again

    if (start is None) != (until is None):
        raise SettingsError("a span needs both --from and --to; without either, what is missing is found and sent")
    with pipeline_settings() as settings:
        first, last = moment(start, "--from"), moment(until, "--to")
        if first is not None and last is not None:
            rows = again.replay(settings, first, last, source)
            print(json.dumps({"rows": rows}) if as_json else f"{rows:,} rows sent again; `neonblue verify` proves them")
            return
        healed = again.heal(settings, tell=lambda line: typer.echo(line, err=True))
    _tell(healed, as_json)


def recover(as_json: Json = False) -> None:
    """Bring a broken stream back: slot, topic, tables; then send again what was lost. Safe on a sound one.

    neonblue recover
    """
    from neonblue_pipeline import recovery

    with pipeline_settings() as settings:
        healed = recovery.recover(settings, tell=lambda line: typer.echo(line, err=True))
    _tell(healed, as_json)


def _tell(healed: "Healed", as_json: bool) -> None:
    if as_json:
        found = {
            "unequal_windows": len(healed.unequal),
            "resent": healed.resent,
            "derived": healed.derived,
            "rollup_days": [str(day) for day in healed.days],
            "left": [str(window) for window in healed.left],
            "behind": healed.behind,
        }
        print(json.dumps(found))
    elif not healed.unequal and not healed.resent:
        typer.echo("nothing is missing")
    else:
        typer.echo(
            f"{len(healed.unequal)} windows had a gap; {healed.resent:,} rows sent again from the outbox, "
            f"{healed.derived:,} from landing"
        )
    for window in healed.left:
        typer.echo(f"still unequal: {window}", err=True)
    if healed.behind:
        typer.echo(f"still on its way: {healed.behind}; repeat when it has arrived", err=True)
    raise typer.Exit(1 if healed.left else 0)
