"""`neonblue audit`: who changed, exported or erased what; and the proof that the log of it is as it was written."""

import json
from dataclasses import asdict
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neonblue_local.api_client import pages
from neonblue_local.pipeline import moment, pipeline_settings

audit = typer.Typer(
    help="""Who changed, exported or erased what and when; and the proof that nothing of that was altered.

    neonblue audit list

    neonblue audit verify
    """,
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="For a program: JSON on standard output.")]


@audit.command("list")
def list_(
    subject_type: Annotated[
        str | None, typer.Option("--type", help="experiment, metric, assignment, token, privacy, backup, audit.")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="The key of one subject.")] = None,
    actor: Annotated[str | None, typer.Option(help="The name of a token, bootstrap, or 'command of USER'.")] = None,
    action: Annotated[str | None, typer.Option(help="create, change, start, revoke, export, erase and so on.")] = None,
    request_id: Annotated[str | None, typer.Option(help="X-Request-ID of the request that did it.")] = None,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="UTC; from then on.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="UTC; before then.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List what was done, the latest first. With --json also what the subject was before and after.

    neonblue audit list --type experiment --subject cookie_cats

    neonblue audit list --from 2026-01-31 --json
    """
    wanted = {
        "subject_type": subject_type,
        "subject": subject,
        "actor": actor,
        "action": action,
        "request_id": request_id,
        "since": _iso(since, "--from"),
        "until": _iso(until, "--to"),
        "limit": min(limit, 1000),
    }
    found = list(islice((entry for page in pages("/v1/audit", wanted) for entry in page), limit))
    if as_json:
        print(json.dumps(found))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("number", "at (UTC)", "who", "what", "subject", "request"):
        table.add_column(title, overflow="fold")
    for entry in found:
        who = entry["actor"] if entry["actor_id"] is None else f"{entry['actor']} (token {entry['actor_id']})"
        of = "(blanked)" if entry["blanked"] else entry["subject"] or ""
        what = f"{entry['action']} {entry['subject_type']}"
        cells = (str(entry["number"]), entry["at"][:19].replace("T", " "), who, what, of, entry["request_id"] or "")
        table.add_row(*(Text(cell) for cell in cells))
    console = Console()
    Console(width=None if console.is_terminal else 240).print(table)


@audit.command()
def verify(
    head: Annotated[
        str | None, typer.Option(metavar="NUMBER:HASH", help="The end that an earlier run printed: it is demanded.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Recompute every hash of the audit log. Exit code 1 if it is broken; the first broken entry is named.

    neonblue audit verify

    neonblue audit verify --head 12:2f6d…
    """
    from neonblue_pipeline import audit as log

    with pipeline_settings() as settings:
        proof = log.verify(settings, log.read_head(head) if head else None)
    if as_json:
        told = {"ok": proof.broken is None, "entries": proof.entries, "blanked": proof.blanked}
        broken = asdict(proof.broken) if proof.broken else None
        print(json.dumps(told | {"head": str(proof.head) if proof.head else None, "broken": broken}))
    elif proof.broken is not None:
        typer.echo(f"entry {proof.broken.number} is broken: {proof.broken.what}")
        typer.echo(f"whole up to {proof.head}" if proof.head else "no entry before it")
    else:
        typer.echo(f"{proof.entries:,} entries, each as it was written ({proof.blanked:,} blanked by erasures)")
        if proof.head:
            typer.echo(f"end: {proof.head}")
    raise typer.Exit(0 if proof.broken is None else 1)


def _iso(text: str | None, option: str) -> str | None:
    found = moment(text, option)
    return None if found is None else found.isoformat()
