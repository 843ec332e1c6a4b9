"""neonblue status, logs, results: what the stack does, and what it found out."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neonblue_local import environment, http
from neonblue_local.commands.results import print_results
from neonblue_local.commands.segments import print_history, print_segments
from neonblue_local.errors import LocalError, NotRunning, SettingsError
from neonblue_local.home import Home
from neonblue_local.pipeline import pipeline_settings

_SETTINGS = (
    "NEONBLUE_POSTGRES_URL",
    "NEONBLUE_CLICKHOUSE_URL",
    "NEONBLUE_KAFKA_BOOTSTRAP",
    "NEONBLUE_CONNECT_URL",
    "NEONBLUE_API_URL",
    "NEONBLUE_DAGSTER_URL",
)

Json = Annotated[bool, typer.Option("--json", help="For a program: JSON on standard output.")]


def status(as_json: Json = False) -> None:
    """Show each stage of an event's way, how far behind it is, and its log; then what each store holds and since when.

    Exit code 1 if a stage does not work.

    neonblue status

    neonblue status --json | jq '.stages[] | select(.ok == false)'
    """
    from neonblue_local.status import stages

    home = Home.from_environment()
    found = stages(home, {name: environment.setting(home, name) for name in _SETTINGS})
    ok = all(stage.ok for stage in found)
    stores, unknown = _stores()
    if as_json:
        told = {"home": str(home.root), "ok": ok, "stages": [asdict(stage) for stage in found], "stores": stores}
        print(json.dumps(told, default=str))
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("stage", "", "behind", "where it stands", "log"):
            table.add_column(title, overflow="fold")
        for stage in found:
            mark = Text("ok", "green") if stage.ok else Text("NO", "bold red")
            behind = "" if stage.lag is None else f"{stage.lag:,g} {stage.unit}"
            table.add_row(stage.stage, mark, behind, Text(stage.detail), Text(_short(stage.log)))
        # Lines of a file or pipe are not cut to a terminal's width.
        console = Console()
        console = Console(width=None if console.is_terminal else 240)
        console.print(table)
        _print_stores(console, stores, unknown)
    raise typer.Exit(0 if ok else 1)


def _stores() -> tuple[list[dict[str, Any]], str]:
    """What each store holds; or why that is not known, which a stage tells, too."""
    from neonblue_pipeline import holdings

    try:
        with pipeline_settings() as settings:
            return [asdict(store) for store in holdings.held(settings)], ""
    except LocalError as error:
        return [], str(error)


def _print_stores(console: Console, stores: list[dict[str, Any]], unknown: str) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("store")
    for title in ("rows", "bytes"):
        table.add_column(title, justify="right")
    for title in ("since", "kept"):
        table.add_column(title)
    for store in stores:
        size = "" if store["bytes"] is None else f"{store['bytes']:,}"
        since = f"{store['since']:%Y-%m-%d %H:%M}Z" if store["since"] else ""
        rows = f"{'' if store['counted'] else 'about '}{store['rows']:,}"
        table.add_row(store["store"], rows, size, since, store["keeps"])
    console.print()
    console.print(table if stores else Text(f"what the stores hold is not known: {unknown}"))


def logs(
    part: Annotated[str, typer.Argument(help="A part: postgres, kafka, connect, clickhouse, api, setup, ...")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 100,
) -> None:
    """Print the end of one part's log.

    neonblue logs connect

    neonblue logs api -f
    """
    home = Home.from_environment()
    path = home.log_file(part)
    if not path.is_file():
        there = sorted(file.stem for file in home.log.glob("*.log")) if home.log.is_dir() else []
        raise SettingsError(f"no log of {part!r} in {home.log}; there are: {', '.join(there) or 'none'}")
    # tail follows a file through its rotation.
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), str(path)]
    try:
        sys.exit(subprocess.run(command, check=False).returncode)  # noqa: S603
    except KeyboardInterrupt:
        sys.exit(130)


def results(
    key: Annotated[str, typer.Argument(help="The experiment's key.")],
    by: Annotated[str, typer.Option("--by", help="By a dimension: device, browser, an attribute; 'all' for all.")] = "",
    history: Annotated[bool, typer.Option("--history", help="Over time: the last cut-off of each hour.")] = False,
    as_json: Json = False,
) -> None:
    """Print what an experiment found out: each variant, its difference from control, how sure that is.

    neonblue results cookie_cats

    neonblue results checkout --by device

    neonblue results cookie_cats --json | jq '.metrics[0].variants'
    """
    if by and history:
        raise SettingsError("--by and --history were given; results are shown by a dimension or over time, not both")
    home = Home.from_environment()
    path = "/segments" if by else "/history" if history else ""
    query = f"?{urlencode({'dimension': by})}" if by and by != "all" else ""
    url = f"{environment.setting(home, 'NEONBLUE_API_URL')}/v1/experiments/{quote(key, safe='')}/results{path}{query}"
    token = environment.setting(home, "NEONBLUE_API_TOKEN")
    try:
        code, text = http.request(url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    except OSError as error:
        raise NotRunning(f"the API does not answer at {url} ({error}); start it with `neonblue up`") from error
    if code != 200:
        raise LocalError(f"experiment {key!r}: the API answered {code}: {_message(text)}")
    if as_json:
        print(text)
    else:
        console = Console()
        show = print_segments if by else print_history if history else print_results
        show(Console(width=None if console.is_terminal else 160), json.loads(text))


def _message(text: str) -> str:
    """The API's own words, where its answer is its error object."""
    try:
        body = json.loads(text)
    except ValueError:
        return text[:300]
    return str(body.get("message") or body.get("detail") or text[:300]) if isinstance(body, dict) else text[:300]


def _short(path: str | None) -> str:
    if path is None:
        return "-"
    return str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path
