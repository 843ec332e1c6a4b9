"""How `neonblue results` prints a result: effects, further methods, split, decisions, warnings."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_results(console: Console, found: dict[str, Any]) -> None:
    """The results contract of docs/contracts.md as a table; null is a dash."""
    ratio = found["sample_ratio"]
    as_of = found["as_of"] or "never computed"
    console.print(f"[bold]{found['experiment']}[/]  {found['status']}, as of {as_of}", highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("metric", "variant", "users", "mean", "difference", "95% interval", "relative", "95% interval", "p"):
        table.add_column(title, justify="left" if title in ("metric", "variant") else "right", no_wrap=True)
    for metric in found["metrics"]:
        for number, variant in enumerate(metric["variants"]):
            name = metric["metric"] if number == 0 else ""
            users = "-" if variant["users"] is None else f"{variant['users']:,}"
            row = [name, f"{variant['variant']}{' (control)' if variant['control'] else ''}", users]
            row.append(_compared(variant))
            absolute, relative = variant.get("absolute"), variant.get("relative")
            if absolute and relative:
                row += [figure(absolute["estimate"], sign=True), interval(absolute)]
                row += [
                    percent_text(relative["estimate"]),
                    interval(relative, percent=True),
                    p_text(absolute["p_value"]),
                ]
            table.add_row(*row)
    console.print(table)
    _print_funnels(console, found["metrics"])
    _print_methods(console, found["metrics"])
    counts = ", ".join(f"{users:,} {variant}" for variant, users in ratio["counts"].items()) or "no users yet"
    if ratio["p_value"] is None:
        verdict = "not tested"
    elif ratio["mismatch"]:
        verdict = f"[bold red]not as planned, do not trust the result[/] (sample ratio {_equals(ratio['p_value'])})"
    else:
        verdict = f"as planned (sample ratio {_equals(ratio['p_value'])})"
    console.print(f"split: {counts}; {verdict}", highlight=False)
    if ratio.get("crossed_users"):
        share = ratio["crossed_share"] or 0.0
        console.print(
            f"seen in several variants: {ratio['crossed_users']:,} users ({share:.1%}), left out", highlight=False
        )
    _print_planning(console, found["metrics"])
    for decision in found.get("decisions", ()):
        verdict = decision["verdict"].replace("_", " ")
        console.print(Text(f"decision on {decision['variant']}: {verdict}", "bold"))
        for reason in decision["reasons"]:
            console.print(Text(f"  {reason}"))
        console.print(Text(f"  What would change it: {' '.join(decision['would_change'])}"))
    for warning in found["warnings"]:
        console.print(Text(f"warning: {warning if isinstance(warning, str) else json.dumps(warning)}", "yellow"))


def _compared(variant: dict[str, Any]) -> str:
    """What is compared: the quantile with its level, p90 of .9, else the mean."""
    quantile = variant.get("quantile")
    if not quantile:
        return figure(variant["mean"])
    return f"p{100 * (quantile['quantile'] or 0):g} {figure(quantile['value'])}"


def _print_funnels(console: Console, metrics: list[dict[str, Any]]) -> None:
    """The steps of funnels: a line a variant and step, nothing where there is none."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    titles = ("funnel", "variant", "step", "users", "of all", "of previous", "difference of all", "95% interval", "p")
    for title in titles:
        table.add_column(title, justify="left" if title in titles[:3] else "right", no_wrap=True)
    for metric in metrics:
        for variant in metric["variants"]:
            for number, step in enumerate(variant.get("funnel") or ()):
                first = (metric["metric"], variant["variant"]) if number == 0 else ("", "")
                row: list[str | Text] = [*first, Text(step["event_type"]), f"{step['users']:,}"]
                row += ["-" if step[name] is None else f"{step[name]:.2%}" for name in ("of_all", "of_previous")]
                if effect := step.get("absolute"):
                    row += [figure(effect["estimate"], sign=True), interval(effect), p_text(effect["p_value"])]
                table.add_row(*row)
    if table.row_count:
        console.print(table)


def _print_methods(console: Console, metrics: list[dict[str, Any]]) -> None:
    """The same lifts by the other methods: a line a metric and treatment, nothing where none was computed."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    titles = (
        *("other methods", "variant", "any time 95%", "p any time", "p adjusted", "chance to win", "expected loss"),
        *("CUPED", "95% interval", "variance removed"),
    )
    for title in titles:
        table.add_column(title, justify="left" if title in titles[:2] else "right", no_wrap=True)
    for metric in metrics:
        for variant in metric["variants"]:
            sequential, bayesian = variant.get("sequential"), variant.get("bayesian")
            if not sequential or not bayesian or sequential["absolute"]["low"] is None:
                continue
            # A control of mean 0 has no lift: then the difference is shown.
            unit = "absolute" if sequential["relative"]["low"] is None else "relative"
            percent, posterior = unit == "relative", bayesian[unit]
            loss = posterior["expected_loss"]
            table.add_row(
                metric["metric"],
                variant["variant"],
                interval(sequential[unit], percent=percent),
                p_text(sequential[unit]["p_value"]),
                p_text(variant["adjusted_p_value"]),
                "-" if posterior["chance_to_win"] is None else f"{posterior['chance_to_win']:.1%}",
                "-" if loss is None else f"{loss:.2%}" if percent else f"{loss:.4g}",
                *_history(variant.get("cuped"), unit),
            )
    if table.row_count:
        console.print(table)


def _print_planning(console: Console, metrics: list[dict[str, Any]]) -> None:
    """Power reached and days left of each treatment whose metric says which effect is worth finding."""
    for metric in metrics:
        for variant in metric["variants"]:
            plan = variant.get("planning")
            if not plan or plan["minimum_effect"] is None or plan["power"] is None:
                continue
            days = "" if plan["days_left"] is None else f"; {plan['days_left']:,.0f} days left at the present pace"
            needed = "" if plan["users_needed"] is None else f", 80% needs {plan['users_needed']:,.0f} users"
            console.print(
                Text(
                    f"{metric['metric']}, {variant['variant']}: power to show {plan['minimum_effect']:+.2%} is "
                    f"{plan['power']:.0%}{needed}{days}"
                )
            )


def _history(cuped: dict[str, Any] | None, unit: str) -> tuple[str, str, str]:
    if not cuped or cuped["variance_removed"] is None:
        return "no history", "-", "-"
    effect, percent = cuped[unit], unit == "relative"
    estimate = percent_text(effect["estimate"]) if percent else figure(effect["estimate"], sign=True)
    return estimate, interval(effect, percent=percent), f"{cuped['variance_removed']:.1%}"


def figure(value: float | None, *, sign: bool = False) -> str:
    return "-" if value is None else f"{value:{'+' if sign else ''},.5g}"


def percent_text(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.2f}%"


def interval(effect: dict[str, float | None], *, percent: bool = False) -> str:
    low, high = effect["low"], effect["high"]
    if low is None or high is None:
        return "-"
    # The text would be taken for rich's markup.
    return f"\\[{percent_text(low)}, {percent_text(high)}]" if percent else f"\\[{low:+.4g}, {high:+.4g}]"


def p_text(value: float | None) -> str:
    if value is None:
        return "-"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _equals(value: float) -> str:
    text = p_text(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"
