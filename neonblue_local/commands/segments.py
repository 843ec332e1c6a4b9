"""How `neonblue results --by` and `--history` print: effects by segment with their correction, effects over time."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from neonblue_local.commands.results import figure, interval, p_text, percent_text


def print_segments(console: Console, found: dict[str, Any]) -> None:
    """A table a dimension: a line a metric, treatment and segment, below them the effect on all by strata."""
    console.print(f"[bold]{found['experiment']}[/]  as of {found['as_of'] or 'never computed'}", highlight=False)
    for dimension in found["dimensions"]:
        table = _table(
            *(f"by {dimension['dimension']}", "metric", "variant"),
            *("users", "control", "mean", "relative", "95% interval", "any time 95%", "p", "p adjusted"),
        )
        for metric in dimension["metrics"]:
            for segment in metric["segments"]:
                table.add_row(
                    _name(segment["segment"]),
                    metric["metric"],
                    metric["variant"],
                    f"{segment['users'] + (segment['control_users'] or 0):,}",
                    figure(segment["control_mean"]),
                    figure(segment["mean"]),
                    percent_text(segment["relative"]["estimate"]),
                    interval(segment["relative"], percent=True),
                    interval(segment["sequential"], percent=True),
                    p_text(segment["absolute"]["p_value"]),
                    p_text(segment["adjusted_p_value"]),
                )
            strata = metric["stratified_relative"]
            if strata["low"] is not None:
                removed = metric["stratified_variance_removed"]
                table.add_row(
                    *("all, stratified", metric["metric"], metric["variant"], "", "", ""),
                    percent_text(strata["estimate"]),
                    interval(strata, percent=True),
                    "" if removed is None else f"{removed:.1%} variance removed",
                )
        console.print(table)
        for metric in dimension["metrics"]:
            if metric["interaction_p_value"] is not None:
                word = "differ" if metric["differs"] else "are not shown to differ"
                console.print(
                    Text(
                        f"{metric['metric']}, {metric['variant']}: lifts {word} by {dimension['dimension']} "
                        f"(p {p_text(metric['interaction_p_value'])}, adjusted "
                        f"{p_text(metric['interaction_adjusted_p_value'])})"
                    )
                )
    for warning in found["warnings"]:
        console.print(Text(f"warning: {warning}", "yellow"))


def print_history(console: Console, found: dict[str, Any]) -> None:
    """A line a cut-off, metric and treatment, oldest first."""
    table = _table(
        "as of", "metric", "variant", "users", "relative", "95% interval", "any time 95%", "p adjusted", "power"
    )
    for point in found["points"]:
        table.add_row(
            point["as_of"],
            point["metric"],
            point["variant"],
            f"{point['users']:,}",
            percent_text(point["relative"]["estimate"]),
            interval(point["relative"], percent=True),
            interval(point["sequential"], percent=True),
            p_text(point["adjusted_p_value"]),
            "-" if point["power"] is None else f"{point['power']:.0%}",
        )
    console.print(f"[bold]{found['experiment']}[/]", highlight=False)
    console.print(table if table.row_count else "no results yet")
    if found["truncated"]:
        console.print(Text("warning: there are older cut-offs", "yellow"))


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        left = title.startswith("by ") or title in ("as of", "metric", "variant")
        table.add_column(Text(title), justify="left" if left else "right", no_wrap=True)
    return table


def _name(segment: str) -> Text:
    return Text(segment or "(not known)")
