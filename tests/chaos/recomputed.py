"""The result of the load's experiment, computed from the events themselves: a second way to the published figures."""

import math
from datetime import datetime
from typing import Any

import pytest
from scipy import stats

from tests.chaos.load import Load

_VARIANTS = ("control", "new")


def demand_result(load: Load, there: set[str]) -> None:
    """The published result against `there`, the ids that are counted. Events before the assignment do not count."""
    with load.client() as api:
        answer = api.get(f"/v1/experiments/{load.run}/results")
        assert answer.status_code == 200, answer.text
    published = {metric["kind"]: {v["variant"]: v for v in metric["variants"]} for metric in answer.json()["metrics"]}
    clicked, spent = _by_user(load, there)
    for kind, values in (("proportion", clicked), ("mean", spent)):
        found = {variant: (published[kind][variant]["users"], published[kind][variant]["sum"]) for variant in _VARIANTS}
        counted = {variant: (len(values[variant]), sum(values[variant])) for variant in _VARIANTS}
        assert found == counted, f"{kind}: published (users, sum) {found}, counted {counted}"
    _demand_effect(published["mean"]["new"]["absolute"], _welch(spent))
    treated = published["proportion"]["new"]
    if treated["test"] in ("barnard", "fisher"):  # few users did not click: no normal law
        low, high = treated["absolute"]["low"], treated["absolute"]["high"]
        assert low <= _two_proportions(clicked)["estimate"] <= high, f"{treated}, computed {_two_proportions(clicked)}"
    else:
        _demand_effect(treated["absolute"], _two_proportions(clicked))


def _by_user(load: Load, there: set[str]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Per variant a number for each assigned user: whether they clicked, and what they spent."""
    clicked = dict.fromkeys(load.variants, 0.0)
    spent = dict.fromkeys(load.variants, 0.0)
    assigned_at = {user: datetime.fromisoformat(text) for user, text in load.assigned_at.items()}
    for event_id in there:
        event = load.ledger.sent[event_id]
        if event.timestamp is not None and datetime.fromisoformat(event.timestamp) < assigned_at[event.user]:
            continue
        if event.event_type == "click":
            clicked[event.user] = 1.0
        elif event.event_type == "purchase":
            spent[event.user] += event.value
    in_variant = {variant: [user for user, of in load.variants.items() if of == variant] for variant in _VARIANTS}
    return (
        {variant: [clicked[user] for user in users] for variant, users in in_variant.items()},
        {variant: [spent[user] for user in users] for variant, users in in_variant.items()},
    )


def _welch(values: dict[str, list[float]]) -> dict[str, float]:
    test = stats.ttest_ind(values["new"], values["control"], equal_var=False)
    interval = test.confidence_interval(0.95)
    means = [sum(values[variant]) / len(values[variant]) for variant in ("new", "control")]
    return {"estimate": means[0] - means[1], "low": interval.low, "high": interval.high, "p_value": test.pvalue}


def _two_proportions(values: dict[str, list[float]]) -> dict[str, float]:
    (p_new, n_new), (p_control, n_control) = ((sum(v) / len(v), len(v)) for v in (values["new"], values["control"]))
    error = math.sqrt(p_new * (1 - p_new) / n_new + p_control * (1 - p_control) / n_control)
    estimate = p_new - p_control
    half = float(stats.norm.ppf(0.975)) * error
    p_value = float(2 * stats.norm.sf(abs(estimate) / error)) if error else math.nan
    return {"estimate": estimate, "low": estimate - half, "high": estimate + half, "p_value": p_value}


def _demand_effect(published: dict[str, Any], computed: dict[str, float]) -> None:
    """Where nothing varies, as when every user has clicked, there is an estimate and no interval."""
    undefined = not math.isfinite(computed["p_value"])
    wanted = {name: None if undefined and name != "estimate" else value for name, value in computed.items()}
    for name, value in wanted.items():
        said = f"{name}: published {published}, computed {computed}"
        assert (published[name] is None) == (value is None), said
        assert value is None or published[name] == pytest.approx(value, rel=1e-6, abs=1e-9), said
