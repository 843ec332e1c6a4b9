"""neonblue privacy: what is kept of a person, and forgetting it."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from neonblue_local import environment
from neonblue_local.errors import LocalError
from neonblue_local.home import Home
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


class PrivacyRefused(LocalError):
    """The API refused, or is not there."""


@privacy.command()
def export(
    user: User,
    to: Annotated[Path | None, typer.Option(help="A new file, readable by nobody else; else standard output.")] = None,
) -> None:
    """Write everything that every store keeps of a person, a JSON object a line.

    neonblue privacy export u1 --to u1.ndjson
    """
    text = _request("POST", "/v1/privacy/exports", json={"user_id": user}).text
    if to is None:
        sys.stdout.write(text)
        return
    try:
        to.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise PrivacyRefused(f"{to} exists; name a new file, so that no other export is lost") from None
    to.write_text(text)
    typer.echo(f"{to}: {json.loads(text.splitlines()[-1])['rows']:,} rows", err=True)


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
    erasure = _request("POST", "/v1/privacy/erasures", json={"user_id": user}).json()
    told: set[str] = set()
    while True:
        for step in erasure["steps"]:
            if step["step"] not in told:
                told.add(step["step"])
                typer.echo(f"  {step['step']} {step['done_at'][:19]}Z", err=True)
        if not wait or erasure["finished_at"]:
            break
        time.sleep(_LOOK_EVERY_S)
        erasure = _request("GET", f"/v1/privacy/erasures/{erasure['erasure_id']}").json()
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
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = _request("GET", "/v1/privacy/erasures", params={"cursor": cursor} if cursor else None).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    if as_json:
        print(json.dumps(found))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("number", "requested", "by", "finished", "last step"):
        table.add_column(title, overflow="fold")
    for erasure in found:
        last = erasure["steps"][-1]["step"] if erasure["steps"] else ""
        finished = (erasure["finished_at"] or "under way")[:19]
        table.add_row(str(erasure["erasure_id"]), erasure["requested_at"][:19], erasure["requested_by"], finished, last)
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


def _request(method: str, path: str, **arguments: Any) -> httpx.Response:
    home = Home.from_environment()
    url, token = (environment.setting(home, name) for name in ("NEONBLUE_API_URL", "NEONBLUE_API_TOKEN"))
    try:
        with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False) as client:
            reply = client.request(method, f"{url}{path}", **arguments)
    except httpx.TransportError as error:
        raise PrivacyRefused(f"the API at {url} does not answer: {error}; `neonblue status` shows why") from error
    if reply.is_error:
        problem = reply.json()
        raise PrivacyRefused(f"{problem['detail']}; {problem['way_out']}")
    return reply
