"""neonblue privacy: what is kept of a person, and forgetting it."""

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neonblue_local.api_client import pages, pieces, request
from neonblue_local.errors import LocalError
from neonblue_local.pipeline import pipeline_settings

privacy = typer.Typer(
    help="""Export or erase everything that is kept of a person.

    neonblue privacy export u1 --to u1.ndjson

    neonblue privacy erase u1 --wait
    """,
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="For a program: JSON on standard output.")]
User = Annotated[str, typer.Argument(help="The user id, as the application sends it.")]
_LOOK_EVERY_S = 1
_PATIENCE_S = 60  # an export reads every store
_END = re.compile(rb'^\{"rows":(\d+)\}\n\Z', re.MULTILINE)
_LONGEST_END = 100


@privacy.command()
def export(
    user: User,
    to: Annotated[Path | None, typer.Option(help="A new file, readable by nobody else; else standard output.")] = None,
) -> None:
    """Write everything that every store keeps of a person, a JSON object a line.

    neonblue privacy export u1 --to u1.ndjson
    """
    body = pieces("POST", "/v1/privacy/exports", _PATIENCE_S, json={"user_id": user})
    if to is None:
        _write(body, sys.stdout.buffer)
        return
    try:
        to.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise LocalError(f"{to} exists; name a new file, so that no other export is lost") from None
    try:
        with to.open("wb") as file:
            rows = _write(body, file)
    except BaseException:
        to.unlink()  # a part would be taken for the whole
        raise
    typer.echo(f"{to}: {rows:,} rows", err=True)


def _write(body: Iterator[bytes], file: BinaryIO) -> int:
    """Returns how many rows there were, as the last line says."""
    end = b""
    for piece in body:
        file.write(piece)
        end = (end + piece)[-_LONGEST_END:]
    if not (told := _END.search(end)):
        raise LocalError("the export broke off; repeat it, and see the API's log if it does so again")
    return int(told[1])


@privacy.command()
def erase(
    user: User,
    wait: Annotated[bool, typer.Option("--wait", help="Until no store holds a byte any more.")] = False,
    as_json: Json = False,
) -> None:
    """Forget a person: at once nothing more is stored of them, within minutes no store holds a byte.

    neonblue privacy erase u1 --wait

    The same person again is the same erasure. Dagster's job `erasures` does the steps.
    """
    erasure = request("POST", "/v1/privacy/erasures", _PATIENCE_S, json={"user_id": user}).json()
    told: set[str] = set()
    while True:
        for step in erasure["steps"]:
            if step["step"] not in told:
                told.add(step["step"])
                typer.echo(f"  {step['step']} {step['done_at'][:19]}Z", err=True)
        if not wait or erasure["finished_at"]:
            break
        time.sleep(_LOOK_EVERY_S)
        erasure = request("GET", f"/v1/privacy/erasures/{erasure['erasure_id']}", _PATIENCE_S).json()
    if as_json:
        print(json.dumps(erasure))
    elif erasure["finished_at"]:
        typer.echo(f"erasure {erasure['erasure_id']} is over since {erasure['finished_at'][:19]}Z")
    else:
        typer.echo(f"erasure {erasure['erasure_id']} is under way; `neonblue privacy erasures` shows how far it is")


@privacy.command()
def erasures(as_json: Json = False) -> None:
    """List every erasure, the latest first: when it was asked for, by whom, when it was over. Nobody is named.

    neonblue privacy erasures
    """
    found = [erasure for page in pages("/v1/privacy/erasures", {}) for erasure in page]
    if as_json:
        print(json.dumps(found))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("number", "requested", "by", "finished", "last step"):
        table.add_column(title, overflow="fold")
    for erasure in found:
        last = erasure["steps"][-1]["step"] if erasure["steps"] else ""
        finished = (erasure["finished_at"] or "under way")[:19]
        by = Text(erasure["requested_by"])  # in brackets it would be taken for rich's markup
        table.add_row(str(erasure["erasure_id"]), erasure["requested_at"][:19], by, finished, last)
    Console().print(table)


@privacy.command()
def ledger() -> None:
    """Print the ledger of erasures, a line each, to be kept where backups are: `neonblue restore --erasures` reads it.

    neonblue privacy ledger > /backups/erasures.ndjson

    It names nobody: a person is a keyed hash. A backup holds the erasures until it was made; this holds those since.
    """
    from neonblue_pipeline.erasing import again

    with pipeline_settings() as settings:
        sys.stdout.write(again.written(again.read(settings)))
