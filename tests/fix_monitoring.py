"""The files of docker/prometheus and docker/grafana as the tests read them: alerts, panels, the names they use."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from neonblue_local.home import PROJECT

RULES = PROJECT / "docker" / "prometheus" / "rules.yml"
CONFIGURATION = PROJECT / "docker" / "prometheus" / "prometheus.yml"
DASHBOARDS = PROJECT / "docker" / "grafana" / "dashboards"
_METRIC = re.compile(r"\b(?:neonblue_[a-z0-9_]+|neonblue:[a-z0-9_:]+)")


def rules() -> list[dict[str, Any]]:
    """Every rule of every group; alerts have the key `alert`, recording rules `record`."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


@dataclass(frozen=True)
class Query:
    """A query of a panel or a variable; `text` is PromQL or SQL before Grafana fills it in."""

    dashboard: str
    panel: str
    text: str
    is_sql: bool

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}"


def dashboards() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Name of the dashboard, panel."""
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            yield name, panel


def queries() -> list[Query]:
    found = [
        Query(name, f"variable {variable['name']}", variable["query"], True)
        for name, dashboard in dashboards().items()
        for variable in dashboard["templating"]["list"]
    ]
    for name, panel in panels():
        for target in panel["targets"]:
            is_sql = target["datasource"]["uid"] == "neonblue-clickhouse"
            found.append(Query(name, panel["title"], target["rawSql" if is_sql else "expr"], is_sql))
    return found


def as_grafana_would(query: Query, experiment: str, metric: str) -> str:
    """The SQL with its macros and variables filled in, as ClickHouse's plugin for Grafana does it."""
    values = {"experiment": experiment, "metric": metric}
    text = re.sub(r"\$\{(\w+):sqlstring\}", lambda found: f"'{values[found[1]]}'", query.text)
    text = re.sub(
        r"\$__timeFilter\((\w+)\)",
        lambda found: f"{found[1]} >= toDateTime(now() - 2592000) and {found[1]} <= toDateTime(now() + 86400)",
        text,
    )
    assert "$" not in text, text
    return text


def metric_names(promql: str) -> set[str]:
    return set(_METRIC.findall(promql))


def headings(page: Path, section: str) -> list[str]:
    """The headings of the third level in a section of a page."""
    inside = page.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^### (.+)$", inside, re.MULTILINE)
