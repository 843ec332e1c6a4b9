"""`neonblue demo`: 90,189 real players from the API to a decision, compared with the file they come from."""

import json
import os
from typing import Annotated

import typer
from rich.console import Console

from neonblue_local import environment
from neonblue_local.home import Home
from neonblue_local.pipeline import pipeline_settings


def demo(
    players: Annotated[
        int | None, typer.Option(min=100, help="Only the first so many players of the file.", show_default="all")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Send Cookie Cats through the whole way and compare the result with the file.

    Needs a running stack. Safe to repeat: what was stored before is counted once. Exit code 1 on any mismatch.

        neonblue up && neonblue demo

        neonblue demo --players 5000 --json
    """
    # pandas and scipy take a second to import; `neonblue --help` need not wait for them.
    from neonblue_local.demo.run import Addresses, run_demo

    home = Home.from_environment()
    api_url, api_token = (environment.setting(home, name) for name in ("NEONBLUE_API_URL", "NEONBLUE_API_TOKEN"))
    with pipeline_settings() as settings:
        addresses = Addresses(api_url, api_token, settings, dict(os.environ))
    # With --json standard output carries the report alone.
    console = Console(stderr=as_json)
    report = run_demo(addresses, console, players)
    if as_json:
        print(json.dumps(report))
    console.print(f"\n{report['decision']}", highlight=False)
    if not report["ok"]:
        console.print("[bold red]The result does not agree with the file:[/] see the rows marked NO above.")
        raise typer.Exit(1)
    facts = f"{report['facts']:,}"
    console.print(
        f"{facts} facts sent = PostgreSQL = Kafka = ClickHouse; every figure equals the file.", highlight=False
    )
    for name, page in (("API", "NEONBLUE_API_URL"), ("Dagster", "NEONBLUE_DAGSTER_URL")):
        path = "/docs" if name == "API" else ""
        console.print(f"  {name:8} {environment.setting(home, page)}{path}", highlight=False)
