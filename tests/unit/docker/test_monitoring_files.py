"""Alerts and dashboards as files: whole, explained, and of one mind with the code. No server."""

import re

import pytest

from neonblue_local.home import PROJECT
from neonblue_pipeline import probes
from neonblue_pipeline.probes import content, stream
from neonblue_stats.sample_ratio import MISMATCH_P_VALUE
from tests.fix_monitoring import alerts, dashboards, headings, metric_names, panels, queries, rules

OPERATIONS = PROJECT / "docs" / "operations.md"


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_what_is_wrong_how_bad_and_what_to_do(alert):
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["for"]
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["remedy"]
    assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"


def test_every_alert_has_its_place_in_the_runbook_and_every_place_an_alert():
    assert headings(OPERATIONS, "Alerts") == [alert["alert"] for alert in alerts()]


def test_every_place_of_the_runbook_names_cause_and_remedy():
    places = OPERATIONS.read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0].split("\n### ")[1:]
    assert [place.splitlines()[0] for place in places if "\nCause: " not in place or "\nRemedy: " not in place] == []


def test_whatever_a_probe_may_find_raises_an_alert():
    watched = {
        found for alert in alerts() for found in re.findall(r'neonblue_finding\{finding="([^"]+)"\}', alert["expr"])
    }
    known = {key for probe in probes.PROBES for key in probe.finds}
    # A figure of its own names the experiment.
    assert watched | {"sample ratio"} == known


def test_every_recorded_figure_is_used():
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    texts = [query.text for query in queries()] + [alert["expr"] for alert in alerts()]
    assert recorded == {name for text in texts for name in metric_names(text) if ":" in name}


def test_there_are_three_dashboards_with_ids_of_their_own():
    found = dashboards()
    assert sorted(found) == ["experiments", "intake", "way"]
    assert len({dashboard["uid"] for dashboard in found.values()}) == 3
    for dashboard in found.values():
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("name", "panel"), list(panels()), ids=lambda value: value if isinstance(value, str) else value["title"]
)
def test_a_panel_has_a_unit_thresholds_and_a_sentence_of_help(name, panel):
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    assert defaults["thresholds"]["steps"]
    assert re.search(r"\w+ \w+.*\.$", panel["description"]), panel["description"]
    assert panel["targets"]


@pytest.mark.parametrize("name", dashboards())
def test_no_two_panels_of_a_dashboard_lie_on_each_other(name):
    taken = set()
    for panel in dashboards()[name]["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not taken & cells, panel["title"]
        taken |= cells


def test_limits_in_panels_are_those_of_the_code():
    limits = {
        panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] for _, panel in panels()
    }
    assert limits["2 Slot"] == stream.UNREAD_WAL_LIMIT
    assert limits["4 Topic"] == limits["Consumer lag by partition"] == stream.UNREAD_MESSAGES_LIMIT
    assert limits["5 Rollups"] == limits["Changes that wait for the rollups"] == content.ROLLUP_AGE_LIMIT_S
    assert limits["Age of the proof"] == content.OVERDUE_HOURS * 3600
    assert limits["Sample ratio, p-value"] == MISMATCH_P_VALUE
