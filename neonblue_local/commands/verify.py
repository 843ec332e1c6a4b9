"""`neonblue verify`: whether every accepted fact can be queried, and every rollup equals a recount; hop by hop."""

import json
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neonblue_local.pipeline import moment, pipeline_settings


def verify(
    start: Annotated[str | None, typer.Option("--from", metavar="TIME", help="UTC; default: all that is kept.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="UTC; default: now.")] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds without progress after which what is still on its way is told.")
    ] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="For a program: JSON on standard output.")] = False,
) -> None:
    """Prove, hop by hop, that everything accepted is counted once. Exit code 1 on any gap, naming window and ids.

    neonblue verify

    neonblue verify --from 2026-01-31T10:00 --to 2026-01-31T12:00 --json
    """
    from neonblue_pipeline import verify as proof

    with pipeline_settings() as settings:
        report = proof.verify(settings, moment(start, "--from"), moment(until, "--to"), patience_s=wait)
    if as_json:
        print(json.dumps(report.as_dict()))
    else:
        _print(report)
    raise typer.Exit(0 if report.ok else 1)


def _print(report: "object") -> None:
    from neonblue_pipeline.verify import Report

    assert isinstance(report, Report)
    console = Console()
    wide = Console(width=None if console.is_terminal else 240)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, side in (("hop", "left"), ("", "left"), ("windows", "right"), ("rows", "right"), ("", "left")):
        table.add_column(title, justify=side, overflow="fold")  # type: ignore[arg-type]
    for check in report.checks:
        mark = Text("ok", "green") if check.ok else Text("GAP", "bold red")
        table.add_row(check.hop, mark, f"{check.windows:,}", f"{check.rows:,}", Text(check.detail))
    wide.print(table)
    for check in report.checks:
        for gap in check.gaps:
            wide.print(Text(gap.where, "red" if not check.ok else "yellow"), soft_wrap=True)
            for what, ids in (("missing", gap.missing), ("only there", gap.surplus), ("changed", gap.changed)):
                if ids:
                    wide.print(Text(f"    {what}: {', '.join(ids)}"), soft_wrap=True)
    if report.behind:
        wide.print(Text(f"still on its way: {report.behind}", "yellow"), soft_wrap=True)
    since = _time(report.start) if report.start else "nothing was accepted yet"
    verdict = "proven" if report.ok else "NOT proven; `neonblue replay` sends again what is missing"
    wide.print(
        Text(f"{since} to {_time(report.until)}: {verdict}", "green" if report.ok else "bold red"), soft_wrap=True
    )


def _time(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}Z"
