"""Results by dimension and over time: what the API makes of the rows that the pipeline publishes."""

from datetime import UTC, datetime

import pytest

from tests.integration.api import test_analyses

clickhouse = test_analyses.clickhouse

AT = [datetime(2026, 6, day, hour, tzinfo=UTC) for day, hour in ((1, 8), (1, 9), (2, 9), (2, 9))]
AT[3] = AT[3].replace(minute=30)


@pytest.fixture
def published(client, clickhouse, running, name, database):
    """An experiment with two metrics and four cut-offs, of which the last two have results by country."""
    for metric in ("m", "n"):
        client.post("/v1/metrics", json={"key": f"{name}-{metric}", "kind": "mean", "event_type": "x"})
    body = {"key": f"{name}-d", "variants": [{"key": "a"}, {"key": "b"}], "metrics": [f"{name}-m", f"{name}-n"]}
    client.post("/v1/experiments", json=body)
    number = database.execute("select experiment_id from experiments where key = %s", (f"{name}-d",)).fetchone()[0]
    for place, at in enumerate(AT):
        place_of = {"experiment_id": number, "cutoff_at": at}
        for position, metric in enumerate(("m", "n"), 1):
            for variant_id, variant in ((1, "a"), (2, "b")):
                row = place_of | {
                    "metric": f"{name}-{metric}",
                    "position": position * 1000 + variant_id,
                    "variant_id": variant_id,
                    "variant": variant,
                    "is_control": variant == "a",
                    "users": 100 * (place + 1),
                    "mean": 2.0,
                }
                effect = (
                    {"rel_estimate": 0.1 * place, "rel_low": 0.0, "rel_high": 0.2, "power": 0.5}
                    if variant == "b"
                    else {}
                )
                test_analyses._insert(clickhouse, "experiment_results_rows", row | effect)
                for segment in ("", "de", "us") if place > 1 else ():
                    told = {"dimension": "country", "segment": segment, "sample_ratio_p_value": 0.5}
                    if segment == "us":
                        told |= {"sample_ratio_p_value": 1e-5, "sample_ratio_mismatch": True, "warning": "split of us"}
                    by = {"abs_estimate": float("inf"), "abs_p_value": 0.03, "adjusted_p_value": 0.09}
                    test_analyses._insert(
                        clickhouse, "experiment_segments_rows", row | told | (by if variant == "b" else {})
                    )
            if place > 1:
                overall = {
                    "metric": f"{name}-{metric}",
                    "position": position * 1000 + 2,
                    "variant_id": 2,
                    "variant": "b",
                }
                differs = {
                    "dimension": "country",
                    "known_before": True,
                    "interaction_p_value": 0.001,
                    "differs": metric == "m",
                }
                warned = {"warning": "m differs"} if metric == "m" else {}
                test_analyses._insert(clickhouse, "experiment_dimensions_rows", place_of | overall | differs | warned)
        quality = {
            "counts": {"a": 5, "b": 6},
            "warnings": ["w"],
            "sample_ratio_anytime_p_value": 0.4,
            "crossed_users": 2,
        }
        test_analyses._insert(clickhouse, "experiment_quality_rows", place_of | quality | {"crossed_share": 0.01})
    return f"{name}-d", name


def test_results_by_dimension_are_those_of_the_latest_cut_off(client, published):
    key, name = published
    found = client.get(f"/v1/experiments/{key}/results/segments", params={"dimension": "country"}).json()
    assert found["as_of"] == "2026-06-02T09:30:00.000000Z"
    (country,) = found["dimensions"]
    assert (country["dimension"], country["known_before"]) == ("country", True)
    assert [s["segment"] for s in country["sample_ratio"]] == ["", "de", "us"]
    assert country["sample_ratio"][2] == {
        "segment": "us",
        "counts": {"a": 400, "b": 400},
        "p_value": 1e-5,
        "mismatch": True,
    }
    assert [(m["metric"], m["variant"], m["differs"]) for m in country["metrics"]] == [
        (f"{name}-m", "b", True),
        (f"{name}-n", "b", False),
    ]
    segment = country["metrics"][0]["segments"][1]
    assert (segment["segment"], segment["control_users"], segment["users"], segment["control_mean"]) == (
        "de",
        400,
        400,
        2,
    )
    assert segment["absolute"] == {"estimate": None, "low": None, "high": None, "p_value": 0.03}
    assert segment["adjusted_p_value"] == 0.09
    assert found["warnings"] == ["m differs", "split of us"]
    everything = client.get(f"/v1/experiments/{key}/results/segments").json()
    assert everything["dimensions"] == found["dimensions"]


def test_a_dimension_without_results_is_an_empty_list_that_says_why(client, published):
    found = client.get(f"/v1/experiments/{published[0]}/results/segments", params={"dimension": "moon"}).json()
    assert found["dimensions"] == []
    assert found["warnings"][0].startswith("dimension 'moon' has no results")
    assert client.get("/v1/experiments/none-such/results/segments").status_code == 404


def test_warnings_of_segments_stand_with_those_of_the_result(client, published):
    found = client.get(f"/v1/experiments/{published[0]}/results").json()
    assert found["warnings"][:3] == ["w", "m differs", "split of us"]
    ratio = found["sample_ratio"]
    assert (ratio["anytime_p_value"], ratio["phases"], ratio["crossed_users"], ratio["crossed_share"]) == (
        0.4,
        [],
        2,
        0.01,
    )
    assert found["metrics"][0]["variants"][1]["planning"]["power"] == 0.5


def test_history_is_the_last_cut_off_of_each_step_oldest_first(client, published):
    key, name = published

    def history(**query):
        return client.get(f"/v1/experiments/{key}/results/history", params=query).json()

    def told(found, metric="m"):
        return [(p["as_of"][8:16], p["users"]) for p in found["points"] if p["metric"] == f"{name}-{metric}"]

    assert told(history()) == [("01T08:00", 100), ("01T09:00", 200), ("02T09:30", 400)]
    assert told(history(step="day")) == [("01T09:00", 200), ("02T09:30", 400)]
    assert told(history(step="cutoff"), "n") == [
        ("01T08:00", 100),
        ("01T09:00", 200),
        ("02T09:00", 300),
        ("02T09:30", 400),
    ]
    latest = history(limit=1, metric=f"{name}-m")
    assert (told(latest), latest["truncated"]) == ([("02T09:30", 400)], True)
    assert {p["metric"] for p in latest["points"]} == {f"{name}-m"}
    assert latest["points"][0]["relative"]["estimate"] == pytest.approx(0.3)
    assert client.get(f"/v1/experiments/{key}/results/history", params={"step": "year"}).status_code == 422
