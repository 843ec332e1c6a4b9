"""neonblue import: what a team already has, from a file through the API."""

import json
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from neonblue_local import environment
from neonblue_local.home import Home
from neonblue_local.importing.mapping import KINDS, Mapping, fingerprint, with_event_ids
from neonblue_local.importing.records import ImportRefused, Record, UnreadableRow, format_of, rows
from neonblue_local.importing.sending import Outcome, Sender

_encode = msgspec.json.Encoder().encode


def import_(
    kind: Annotated[str, typer.Argument(help="experiments, users, assignments or events")],
    file: Annotated[Path, typer.Argument(help="CSV, NDJSON or Parquet")],
    columns: Annotated[
        list[str] | None, typer.Option("--map", metavar="COLUMN=FIELD", help="Column of the file → field of the API.")
    ] = None,
    constants: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=TEXT", help="The same text in every row.")
    ] = None,
    rest: Annotated[str, typer.Option(help="Columns that nothing is said about: refuse, keep or drop.")] = "refuse",
    file_format: Annotated[str | None, typer.Option("--format", help="csv, ndjson or parquet.")] = None,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="Rows a request.")] = 1_000,
    rejected_to: Annotated[
        Path | None, typer.Option("--rejected", help="Rows that were refused, with the reason. [FILE.rejected.ndjson]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For a program: JSON on standard output.")] = False,
) -> None:
    """Import experiments, users, assignments or events. Cut off, the same command goes on where it was.

    neonblue import assignments players.csv --map version=variant_key --set experiment=cookie_cats

    neonblue import events clicks.parquet --map uid=user_id --map price=properties.value --rest drop

    Sent again, rows are known and told as duplicates: an event without an id gets one that follows from file and row.
    Exit code 1 if rows were refused.
    """
    if kind not in KINDS:
        raise ImportRefused(f"{kind!r} cannot be imported; {', '.join(KINDS)} can")
    if rest not in ("refuse", "keep", "drop"):
        raise ImportRefused(f"--rest {rest}: it is refuse, keep or drop")
    mapping = Mapping(KINDS[kind], _pairs(columns, "--map"), _pairs(constants, "--set"), rest)
    home = Home.from_environment()
    console = Console(stderr=True)
    run = _Import(file, format_of(file, file_format), mapping, batch, rejected_to, console)
    url, token = (environment.setting(home, name) for name in ("NEONBLUE_API_URL", "NEONBLUE_API_TOKEN"))
    with Sender(url, token, console.print) as sender:
        total = run.through(sender)
    if as_json:
        print(json.dumps(total))
    else:
        console.print(
            f"{total['rows']:,} rows: {total['accepted']:,} accepted, {total['duplicates']:,} known before, "
            f"{total['rejected']:,} refused" + (f" (see {run.rejected_to})" if total["rejected"] else ""),
            highlight=False,
        )
    raise typer.Exit(1 if total["rejected"] else 0)


class _Import:
    """One file on its way. How far it came is kept beside it until it is through."""

    def __init__(
        self, file: Path, file_format: str, mapping: Mapping, batch: int, rejected_to: Path | None, console: Console
    ) -> None:
        if not file.is_file():
            raise ImportRefused(f"{file}: there is no such file")
        self.file, self.format, self.mapping, self.batch, self.console = file, file_format, mapping, batch, console
        self.rejected_to = rejected_to or file.with_name(f"{file.name}.rejected.ndjson")
        self.progress_file = file.with_name(f"{file.name}.import-progress.json")
        with file.open("rb") as opened:
            self.file_id = fingerprint(iter(lambda: opened.read(1 << 20), b""))
        said = [mapping.kind.name, sorted(mapping.columns.items()), sorted(mapping.constants.items()), mapping.rest]
        self.run_id = fingerprint([self.file_id.encode(), json.dumps(said).encode()])

    def through(self, sender: Sender) -> dict[str, int]:
        """Sends what was not sent yet and returns the counts of the whole file."""
        total = self._begin()
        if total["rows"]:
            self.console.print(f"going on after row {total['rows']:,}", highlight=False)
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        ) as shown:
            task = shown.add_task(f"{self.mapping.kind.name}", total=None, completed=total["rows"])
            following = rows(self.file, self.format, total["rows"])
            while taken := list(islice(following, self.batch)):
                self._send(sender, taken, total)
                self.progress_file.write_text(json.dumps({"run": self.run_id, **total}))
                shown.update(task, completed=total["rows"])
        self.progress_file.unlink(missing_ok=True)
        return total

    def _begin(self) -> dict[str, int]:
        if self.progress_file.is_file():
            kept = json.loads(self.progress_file.read_text())
            if kept.pop("run", None) == self.run_id:
                return {name: int(count) for name, count in kept.items()}
        self.rejected_to.unlink(missing_ok=True)
        return {"rows": 0, "accepted": 0, "duplicates": 0, "rejected": 0}

    def _send(self, sender: Sender, taken: list[Record | UnreadableRow], total: dict[str, int]) -> None:
        first = total["rows"] + 1
        rejected: list[dict[str, Any]] = []
        records: list[tuple[int, Record]] = []
        for number, row in enumerate(taken, first):
            if isinstance(row, UnreadableRow):
                rejected.append({"row": number, "code": "unreadable_row", "message": f"the row {row}"})
            else:
                records.append((number, self.mapping.record(row)))
        if self.mapping.kind.name == "events":
            records = with_event_ids(records, self.file_id)
        outcome = sender.send(self.mapping.kind.name, [record for _, record in records]) if records else Outcome()
        for position, code, message in outcome.rejected:
            number, record = records[position]
            rejected.append({"row": number, "code": code, "message": message, "record": record})
        total["rows"] += len(taken)
        total["accepted"] += outcome.accepted
        total["duplicates"] += outcome.duplicates
        total["rejected"] += len(rejected)
        if rejected:
            with self.rejected_to.open("ab") as file:
                file.writelines(_encode(line) + b"\n" for line in sorted(rejected, key=lambda line: line["row"]))


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for pair in given or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ImportRefused(f"{option} {pair!r}: it has the form NAME=VALUE")
        pairs[name] = value
    return pairs
