"""neonblue tokens: who may use the API. The API keeps only hashes; a token is shown once."""

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neonblue_local.api_client import ask, pages

tokens = typer.Typer(
    help="""Make, list, rotate and revoke tokens of the API.

    neonblue tokens create checkout --scope ingest

    neonblue tokens revoke 3
    """,
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="For a program: JSON on standard output.")]


@tokens.command()
def create(
    name: Annotated[str, typer.Argument(help="Who will use it; it stands beside every change in the record.")],
    scope: Annotated[list[str], typer.Option(help="ingest, read, manage or audit; several times for several.")],
    days: Annotated[int | None, typer.Option(min=1, help="Valid for so many days; for ever if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Make a token and show it, once.

    neonblue tokens create dashboard --scope read --days 90
    """
    body: dict[str, Any] = {"name": name, "scopes": scope}
    if days is not None:
        body["expires_at"] = _in(days)
    made = ask("POST", "/v1/tokens", json=body)
    print(json.dumps(made) if as_json else made["token"])


@tokens.command("list")
def list_(as_json: Json = False) -> None:
    """List every token there ever was, without its secret.

    neonblue tokens list
    """
    found = [token for page in pages("/v1/tokens", {"limit": 1000}) for token in page]
    if as_json:
        print(json.dumps(found))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("number", "name", "scopes", "made", "expires", "last used", "revoked"):
        table.add_column(title, overflow="fold")
    for token in found:
        times = (token[field] or "" for field in ("created_at", "expires_at", "last_used_at", "revoked_at"))
        name = Text(token["name"])  # in brackets it would be taken for rich's markup
        table.add_row(str(token["token_id"]), name, " ".join(token["scopes"]), *(time[:19] for time in times))
    Console().print(table)


@tokens.command()
def revoke(number: Annotated[int, typer.Argument(min=1, help="As `neonblue tokens list` shows it.")]) -> None:
    """Revoke a token: it stops working within seconds.

    neonblue tokens revoke 3
    """
    ask("DELETE", f"/v1/tokens/{number}")
    typer.echo(f"token {number} is revoked", err=True)


@tokens.command()
def rotate(
    number: Annotated[int, typer.Argument(min=1, help="As `neonblue tokens list` shows it.")],
    overlap_hours: Annotated[float, typer.Option(min=0, max=90 * 24, help="So long the old one works, too.")] = 24,
    days: Annotated[
        int | None, typer.Option(min=1, help="The new one is valid for so many days; as long as the old if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the token that takes another's place and show it, once; the old one ends after the overlap.

    neonblue tokens rotate 3 --overlap-hours 48
    """
    body: dict[str, Any] = {"overlap_s": overlap_hours * 3600}
    if days is not None:
        body["expires_at"] = _in(days)
    made = ask("POST", f"/v1/tokens/{number}/rotate", json=body)
    print(json.dumps(made) if as_json else made["token"])


def _in(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()
