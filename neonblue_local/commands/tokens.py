"""neonblue tokens: who may use the API. The API keeps only hashes; a token is shown once."""

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from neonblue_local import environment
from neonblue_local.errors import LocalError
from neonblue_local.home import Home

tokens = typer.Typer(
    help="""Make, list and revoke tokens of the API.

    neonblue tokens create checkout --scope ingest

    neonblue tokens revoke 3
    """,
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="For a program: JSON on standard output.")]


class TokensRefused(LocalError):
    """The API refused, or is not there."""


@tokens.command()
def create(
    name: Annotated[str, typer.Argument(help="Who will use it; it stands beside every change in the record.")],
    scope: Annotated[list[str], typer.Option(help="ingest, read or manage; several times for several.")],
    days: Annotated[int | None, typer.Option(min=1, help="Valid for so many days; for ever if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Make a token and show it, once.

    neonblue tokens create dashboard --scope read --days 90
    """
    body: dict[str, Any] = {"name": name, "scopes": scope}
    if days is not None:
        body["expires_at"] = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    made = _request("POST", "/v1/tokens", json=body)
    print(json.dumps(made) if as_json else made["token"])


@tokens.command("list")
def list_(as_json: Json = False) -> None:
    """List every token there ever was, without its secret.

    neonblue tokens list
    """
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = _request("GET", "/v1/tokens", params={"cursor": cursor} if cursor else None)
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    if as_json:
        print(json.dumps(found))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("number", "name", "scopes", "made", "expires", "last used", "revoked"):
        table.add_column(title, overflow="fold")
    for token in found:
        times = (token[name] or "" for name in ("created_at", "expires_at", "last_used_at", "revoked_at"))
        table.add_row(str(token["token_id"]), token["name"], " ".join(token["scopes"]), *(time[:19] for time in times))
    Console().print(table)


@tokens.command()
def revoke(number: Annotated[int, typer.Argument(min=1, help="As `neonblue tokens list` shows it.")]) -> None:
    """Revoke a token: it stops working within seconds.

    neonblue tokens revoke 3
    """
    _request("DELETE", f"/v1/tokens/{number}")
    typer.echo(f"token {number} is revoked", err=True)


def _request(method: str, path: str, **arguments: Any) -> Any:
    home = Home.from_environment()
    url, token = (environment.setting(home, name) for name in ("NEONBLUE_API_URL", "NEONBLUE_API_TOKEN"))
    try:
        with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False) as client:
            reply = client.request(method, f"{url}{path}", **arguments)
    except httpx.TransportError as error:
        raise TokensRefused(f"the API at {url} does not answer: {error}; `neonblue status` shows why") from error
    if reply.is_error:
        problem = reply.json()
        raise TokensRefused(f"{problem['detail']}; {problem['way_out']}")
    return reply.json() if reply.content else None
