"""What the demo prints: the live table of the stages, the findings, the sentence of decision."""

import time
from collections.abc import Iterable

from rich.console import Console
from rich.live import Live
from rich.table import Table

from neonblue_local.demo.checks import Finding
from neonblue_local.demo.stages import Counts

ALPHA = 0.05
_PLAIN_EVERY_S = 5.0


class StagesView:
    """A live table on a terminal, otherwise a line every five seconds. Use as a context manager."""

    def __init__(self, console: Console, to_send: int) -> None:
        self._console, self._to_send = console, to_send
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._started = time.monotonic()
        self._last_line = 0.0

    def __enter__(self) -> "StagesView":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, acknowledged: int, counts: Counts) -> None:
        elapsed = time.monotonic() - self._started
        if self._live:
            self._live.update(self._table(acknowledged, counts, elapsed))
        elif elapsed - self._last_line >= _PLAIN_EVERY_S:
            self._last_line = elapsed
            self._console.print(
                f"{elapsed:5.0f} s  acknowledged {acknowledged:,} of {self._to_send:,}  "
                f"PostgreSQL {counts.postgres:,}  Kafka {counts.kafka_messages:,}  "
                f"landing {counts.landing:,}  ClickHouse {counts.clickhouse:,}",
                highlight=False,
            )

    def _table(self, acknowledged: int, counts: Counts, elapsed: float) -> Table:
        table = Table(title=f"facts on their way, {elapsed:.0f} s", title_justify="left")
        table.add_column("stage")
        table.add_column("facts", justify="right")
        table.add_column("of all", justify="right")
        rows = [
            ("acknowledged by the API", acknowledged),
            ("PostgreSQL, fact and outbox row", counts.postgres),
            ("Kafka, messages in the topic", counts.kafka_messages),
            ("ClickHouse, landed messages", counts.landing),
            ("ClickHouse, events and assignments", counts.clickhouse),
        ]
        for stage, facts in rows:
            table.add_row(stage, f"{facts:,}", f"{min(1.0, facts / max(1, self._to_send)):.0%}")
        return table


def findings_table(title: str, findings: Iterable[Finding], sides: tuple[str, str]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("", *sides, "equal"):
        table.add_column(column, justify="left" if column in ("", "equal") else "right")
    for finding in findings:
        table.add_row(finding.what, finding.file, finding.platform, "yes" if finding.agrees else "[bold red]NO[/]")
    return table


def decision(results: dict) -> str:
    """One sentence for the product manager, from the published result alone, read once at the end of the 22 days.

    The decisions in the result itself may be read at any moment and ask for more evidence in return.
    """
    metric = results["metrics"][0]
    control = next(v for v in metric["variants"] if v["control"])
    treated = next(v for v in metric["variants"] if not v["control"])
    effect = treated.get("absolute") or {}
    if effect.get("p_value") is None:
        return f"No decision: {metric['metric']} could not be tested."
    evidence = (
        f"{metric['metric']} is {treated['mean']:.2%} with {treated['variant']} against {control['mean']:.2%} with "
        f"{control['variant']} ({effect['estimate'] * 100:+.2f} points, 95 % interval {effect['low'] * 100:+.2f} to "
        f"{effect['high'] * 100:+.2f}, p = {effect['p_value']:.4f})"
    )
    if effect["p_value"] >= ALPHA:
        return f"No decision yet: {evidence}; the difference may be chance."
    better = treated if effect["estimate"] > 0 else control
    verdict = f"Read once, at its end: {'ship' if better is treated else 'keep'} {better['variant']}; {evidence}."
    ratio = results["sample_ratio"]
    if ratio["mismatch"]:
        verdict += " The groups differ in size beyond chance: do not act before that is explained."
    elif ratio["p_value"] < ALPHA:
        verdict += f" The sizes of the groups (p = {ratio['p_value']:.4f}) deserve a question; they raise no alarm yet."
    return verdict
