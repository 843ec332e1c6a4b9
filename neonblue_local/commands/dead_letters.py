"""`neonblue dead-letters`: messages that could not be read, and sending them again after a fix."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neonblue_local.pipeline import pipeline_settings

_SHOWN_BYTES = 60


def dead_letters(
    replay: Annotated[bool, typer.Option("--replay", help="Send those that nobody sent again yet.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Give up those that nobody sent again yet.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Those that were sent again, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="For a program: JSON on standard output.")] = False,
) -> None:
    """List the messages that could not be read, with reason and position in Kafka. The stream went on without them.

    neonblue dead-letters

    neonblue dead-letters --replay

    neonblue dead-letters --discard
    """
    from neonblue_pipeline import clickhouse, dead_letters, offsets

    with pipeline_settings() as settings:
        with clickhouse.connect(settings, "neonblue dead-letters") as server:
            offsets.keep_empty(settings, server)
        if replay:
            sent = dead_letters.replay(settings, tell=lambda line: typer.echo(line, err=True))
            print(json.dumps({"replayed": sent}) if as_json else f"{sent:,} messages sent again")
            return
        if discard:
            given_up = dead_letters.discard(settings)
            print(
                json.dumps({"discarded": given_up}) if as_json else f"{given_up:,} messages given up; --all lists them"
            )
            return
        with clickhouse.connect(settings, "neonblue dead-letters") as server:
            letters = dead_letters.read(server, everything=everything, limit=limit)
    if as_json:
        found = [
            {
                "topic": letter.topic, "partition": letter.partition, "offset": letter.offset,
                "at": letter.kafka_timestamp.isoformat(), "reason": letter.reason, "bytes": len(letter.raw),
                "raw": letter.raw.decode(errors="backslashreplace"),
                "replayed_at": letter.replayed_at.isoformat() if letter.replayed_at else None,
            }
            for letter in letters
        ]  # fmt: skip
        print(json.dumps(found))
        return
    if not letters:
        typer.echo("no dead letters" if everything else "no dead letters that were not sent again")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("at (UTC)", "partition:offset", "bytes", "reason", "begins with"):
        table.add_column(title, overflow="fold")
    for letter in letters:
        table.add_row(
            f"{letter.kafka_timestamp:%Y-%m-%d %H:%M:%S}",
            f"{letter.partition}:{letter.offset}",
            f"{len(letter.raw):,}",
            Text(letter.reason),
            Text(letter.raw[:_SHOWN_BYTES].decode(errors="backslashreplace")),
        )
    console = Console()
    Console(width=None if console.is_terminal else 200).print(table)
