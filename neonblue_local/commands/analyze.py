"""`neonblue analyze`: answer comparisons from sums in a file or on standard input, without a server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text


def analyze(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE|-", help="JSON file of comparisons; - reads standard input.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the replies as JSON.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of the format and stop.")] = False,
) -> None:
    """Analyse comparisons from sums in hand: means, proportions, ratios, quantiles, splits, plans.

    FILE holds one comparison (an object) or a list of them; docs/statistics.md describes the format.

        neonblue analyze comparisons.json

        echo '{"kind": "sample_ratio", "counts": [5012, 4988]}' | neonblue analyze - --json

    Exit code 0: all answered. 1: some comparison was in error (the rest is answered). 2: the text could not be read.
    """
    # numpy and scipy take half a second to import; `neonblue --help` need not wait for them
    from neonblue_stats.analysis import DocumentError, analyse_document, json_schema

    if schema:
        print(json.dumps(json_schema(), indent=2))
        return
    if file is None:
        _refuse("no FILE given; name a JSON file, or - for standard input")
    try:
        replies = analyse_document(_read(file))
    except DocumentError as error:
        _refuse(f"{'standard input' if file == '-' else file}: {error}")
    rows = replies if isinstance(replies, list) else [replies]
    if as_json:
        print(json.dumps(replies, allow_nan=False, ensure_ascii=True))
    else:
        _print_table(rows)
    failed = [row["error"] for row in rows if "error" in row]
    if as_json:
        for message in failed:
            print(f"neonblue analyze: {message}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _read(file: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        # a byte order mark, as some editors leave one, is no part of the JSON
        return raw.decode("utf-8-sig")
    except OSError as error:
        _refuse(f"{file}: {error.strerror or error}; give a file that can be read, or -")
    except UnicodeDecodeError as error:
        _refuse(f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8")


def _refuse(message: str) -> NoReturn:
    print(f"neonblue analyze: {message}", file=sys.stderr)
    raise typer.Exit(2)


def _print_table(rows: list[dict[str, Any]]) -> None:
    console = Console()
    table = Table("comparison", "effect", "interval", "p", "result", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        if "error" in row:
            table.add_row(_text(row["id"]), "", "", "", Text("error, see below", style="red"))
        else:
            table.add_row(_text(row["id"]), _effect(row), _interval(row), _p(row), Text(_result(row)))
    console.print(table)
    for row in rows:
        if "error" in row:
            console.print(Text(row["error"], style="red"))
        for warning in row["warnings"]:
            console.print(Text(f"{row['id']}: {warning}", style="yellow"))


def _text(value: Any) -> Text:
    return Text(str(value))


def _amount(value: float | None, relative: bool) -> str:
    if value is None:
        return "-"
    return f"{value:+.2%}" if relative else f"{value:+.5g}"


def _effect(row: dict[str, Any]) -> str:
    return _amount(row["estimate"], row["effect"] == "relative") if "estimate" in row else ""


def _interval(row: dict[str, Any]) -> Text:
    if "low" not in row or (row["low"] is None and row["high"] is None):
        return Text("")
    relative = row["effect"] == "relative"
    return Text(f"[{_amount(row['low'], relative)}, {_amount(row['high'], relative)}]")


def _p(row: dict[str, Any]) -> str:
    p = row.get("p_value")
    return "" if p is None else (f"{p:.4f}" if p >= 0.0001 else f"{p:.1e}")


def _result(row: dict[str, Any]) -> str:
    """What else the reply says, in a few words."""
    parts = []
    if row.get("chance_to_win") is not None:
        loss = _amount(row["expected_loss"], row["effect"] == "relative").lstrip("+")
        parts.append(f"chance to win {row['chance_to_win']:.1%}, expected loss {loss}")
    if row.get("variance_reduction") is not None:
        parts.append(f"CUPED removed {row['variance_reduction']:.1%} of the variance")
    if "mismatch" in row:
        parts.append("split does not match" if row["mismatch"] else "split as planned")
    if "adjusted_p_values" in row:
        parts.append("adjusted p: " + ", ".join("-" if p is None else f"{p:.4g}" for p in row["adjusted_p_values"]))
    if "boundaries" in row:
        parts.append("stop beyond z: " + ", ".join("-" if z is None else f"{z:.4f}" for z in row["boundaries"]))
    if row["kind"] in ("sample_size", "power"):
        known = {"n": "{:,}", "mde": "{:.4g}", "power": "{:.1%}"}
        parts.append(", ".join(f"{k} {form.format(row[k])}" for k, form in known.items() if row[k] is not None))
    elif row.get("n") is not None:
        parts.append(f"n {row['n']:,}")
    return "; ".join(parts)
