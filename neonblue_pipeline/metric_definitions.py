"""What a metric's definition may hold, by kind, and what is wrong with one; 210_metric_rules.sql applies it."""

import json
from collections.abc import Iterator
from typing import Any

_COMMON = {"filters", "window", "margin", "minimum_effect"}
FIELDS = {
    "proportion": _COMMON,
    "retention": _COMMON,
    "mean": _COMMON | {"cap"},
    "ratio": _COMMON | {"cap", "denominator"},
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
    for where in (found, denominator if isinstance(denominator, dict) else {}):
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
