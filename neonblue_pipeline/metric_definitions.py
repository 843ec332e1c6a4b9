"""What a metric's definition may hold, by kind, and what is wrong with one; 210_metric_rules.sql applies it.

The API refuses such definitions; these sentences are for what came into PostgreSQL another way.
"""

import json
from collections.abc import Iterator
from typing import Any

_COMMON = {"filters", "window", "margin", "minimum_effect"}
_CAPS = {"cap", "cap_percentile", "ignore_zeros"}
FIELDS = {
    "proportion": _COMMON,
    "retention": _COMMON,
    "funnel": _COMMON | {"steps"},
    "mean": _COMMON | _CAPS,
    "ratio": _COMMON | _CAPS | {"denominator"},
    "quantile": _COMMON | {"quantile", "of", "ignore_zeros"},
}
OPERATORS = ("=", "!=", ">", ">=", "<", "<=", "in")


def problems(kind: str, definition: str) -> Iterator[str]:
    """Sentences on what of a definition (JSON text) is not applied; none for a kind that is not known at all."""
    if kind not in FIELDS:
        return
    found: dict[str, Any] = json.loads(definition or "{}")
    for name in sorted(found.keys() - FIELDS[kind]):
        yield f"the field {name} of its definition is not applied; a {kind} knows {', '.join(sorted(FIELDS[kind]))}"
    window = found.get("window")
    if window is not None and not _is_window(window):
        yield f"its window {json.dumps(window)} cannot be read; it needs to_days above from_days (0 if left out)"
    elif kind == "retention" and window is None:
        yield 'a retention needs a window, like {"from_days": 7, "to_days": 8}; it counts all time'
    denominator = found.get("denominator")
    if kind == "ratio" and not (isinstance(denominator, dict) and isinstance(denominator.get("event_type"), str)):
        yield "a ratio needs a denominator with an event_type; it is left out"
    if kind == "quantile" and not _is_share(found.get("quantile")):
        yield "a quantile needs its level as quantile, above 0 and below 1; it is left out"
    if found.get("of", "events") not in ("events", "users"):
        yield f"its of {json.dumps(found['of'])} is neither events nor users; it is of events"
    if "cap_percentile" in found and not _is_share(found["cap_percentile"]):
        yield f"its cap_percentile {json.dumps(found['cap_percentile'])} is not applied; it is above 0 and below 1"
    steps = found.get("steps") if kind == "funnel" else []
    if not isinstance(steps, list) or not all(
        isinstance(step, dict) and isinstance(step.get("event_type"), str) for step in steps
    ):
        yield 'a funnel needs its further steps, like [{"event_type": "buy"}]; they are left out'
        steps = []
    for where in (found, denominator if isinstance(denominator, dict) else {}, *steps):
        for condition in where.get("filters") or ():
            if not isinstance(condition, dict) or condition.get("op") not in OPERATORS or "value" not in condition:
                yield (
                    f"its filter {json.dumps(condition)} lets no event pass; it needs property, value and "
                    f"op, one of {' '.join(OPERATORS)}"
                )


def _is_window(window: Any) -> bool:
    if not isinstance(window, dict) or not isinstance(window.get("to_days"), int | float):
        return False
    start = window.get("from_days", 0)
    return isinstance(start, int | float) and 0 <= start < window["to_days"]


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1
