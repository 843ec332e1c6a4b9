"""Results by dimension, and the checks of the data, on real servers: held against the raw values."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.multitest import multipletests

from neonblue_pipeline import publication
from neonblue_pipeline.publication import Published, publish
from neonblue_pipeline.significance import RESULT_COLUMNS
from neonblue_stats import Moments, relative_lift
from tests.integration.pipeline.conftest import Pipeline
from tests.integration.pipeline.test_significance import ARMS, ASSIGNED, create, event

COUNTRIES = ("de", "fr", "us")


def assign(pipeline: Pipeline, key: str, users: dict[str, str], attributes: dict[str, Any], at: str = "") -> None:
    """Users by variant, each with the attributes that its name has in `attributes`."""
    batch = [
        {"experiment": key, "user_id": user, "variant_key": arm, "assigned_at": at or ASSIGNED.isoformat(),
         "source": "test", "attributes": attributes.get(user, {}), "request_id": None}
        for user, arm in users.items()
    ]  # fmt: skip
    outcomes = pipeline.postgres("select outcome from accept_assignments(%s)", (json.dumps(batch),))
    assert {outcome for (outcome,) in outcomes} == {"created"}


def published(pipeline: Pipeline, x: int, events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Quality, segments and dimensions of an experiment as readers see them after these events."""
    pipeline.await_events(pipeline.send(events))
    pipeline.await_everything()
    pipeline.build()
    publish(pipeline.server)
    return {
        "quality": pipeline.server.read("experiment_quality", experiment_id=x)[0],
        "results": pipeline.server.read("experiment_results", experiment_id=x),
        "segments": pipeline.server.read("experiment_segments", experiment_id=x, dimension=""),
        "dimensions": pipeline.server.read("experiment_dimensions", experiment_id=x, dimension=""),
    }


def published_again(pipeline: Pipeline, x: int) -> Published:
    pipeline.server.insert("changed_experiments", ["experiment_id"], [[x]])
    return publish(pipeline.server)


def test_effects_by_segment_are_those_of_its_users_corrected_and_a_segment_that_differs_is_warned_of(pipeline):
    random = np.random.default_rng(11)
    key, x = create(pipeline, [("mean", "buy", None, {}), ("proportion", "buy", None, {})])
    users, attributes, values, device = {}, {}, {}, {}
    for n in range(480):
        user = f"{key}-{n}"
        users[user] = ARMS[n // 2 % 2]
        country = COUNTRIES[n % 3]
        # No parser of ClickHouse reads a document with such an account.
        attributes[user] = {"country": country, "score": n, "account": 10**30, "seen": None, "nested": {"a": 1}}
        device[user] = ("phone", "desk", "")[n % 7 % 3]
        level = {"de": 10.0, "fr": 12.0, "us": 14.0}[country]
        lift = 6.0 if country == "de" and users[user] == "new" else 0.0
        values[user] = level + lift + float(random.normal(0, 2)) if n % 5 else 0.0
    assign(pipeline, key, users, attributes)
    events = []
    for user, value in values.items():
        if value:
            told = {"device": device[user]} if device[user] else {}
            # Not the first event that names a device.
            events += [event(user, "buy", 1, value=value, **told), event(user, "look", 2, device="watch")]
    found = published(pipeline, x, events)
    segments = {(r["dimension"], r["metric"], r["segment"], r["variant"]): r for r in found["segments"]}
    # A score of 480 values is a measure; what is null or an object is nothing to split by.
    assert {dimension for dimension, *_ in segments} == {"country", "device"}
    assert {segment for dimension, _, segment, _ in segments if dimension == "device"} == {"phone", "desk", "watch", ""}

    def sample(arm: str, dimension: str, segment: str) -> np.ndarray:
        def of(user: str) -> str:
            if dimension == "country":
                return str(attributes[user]["country"])
            return (device[user] or "watch") if values[user] else ""

        return np.array([values[u] for u in users if users[u] == arm and of(u) == segment])

    plain = []
    for (dimension, metric, segment, variant), row in segments.items():
        y = {arm: sample(arm, dimension, segment) for arm in ARMS}
        if metric.endswith(".1"):
            y = {arm: (v > 0).astype(float) for arm, v in y.items()}
        assert row["users"] == len(y[variant])
        assert row["mean"] == pytest.approx(y[variant].mean())
        if variant == "new":
            if metric.endswith(".0") and y["new"].any():
                expected = stats.ttest_ind(y["new"], y["control"], equal_var=False)
                assert row["abs_p_value"] == pytest.approx(expected.pvalue, rel=1e-6)
            plain.append(row)
    tested = [row for row in plain if row["abs_p_value"] is not None]
    holm = multipletests([row["abs_p_value"] for row in tested], method="holm")[1]
    assert [row["adjusted_p_value"] for row in tested] == pytest.approx(list(holm))
    assert {row["adjusted_p_value"] for row in plain if row["abs_p_value"] is None} <= {None}

    (by_country,) = [r for r in found["dimensions"] if (r["dimension"], r["metric"]) == ("country", f"{key}.0")]
    lifts = []
    for country in COUNTRIES:
        c, t = sample("control", "country", country), sample("new", "country", country)
        v_c, v_t = c.var(ddof=1) / len(c), t.var(ddof=1) / len(t)
        lifts.append((t.mean() / c.mean() - 1, v_t / c.mean() ** 2 + v_c * t.mean() ** 2 / c.mean() ** 4))
    pooled = combine_effects(*np.array(lifts).T, method_re="chi2")
    expected = stats.chi2.sf(pooled.q, len(COUNTRIES) - 1)
    assert by_country["interaction_p_value"] == pytest.approx(expected, rel=1e-6)
    assert by_country["differs"] is True
    assert by_country["known_before"] is True
    assert "'de'" in by_country["warning"]
    assert by_country["warning"] in found["quality"]["warnings"]
    strata = [(sample("control", "country", c), sample("new", "country", c)) for c in COUNTRIES]
    weighted = sum((t.mean() - c.mean()) * (len(c) + len(t)) for c, t in strata) / len(users)
    assert by_country["strat_abs_estimate"] == pytest.approx(weighted)
    assert by_country["strat_variance_removed"] > 0
    (by_device,) = [r for r in found["dimensions"] if (r["dimension"], r["metric"]) == ("device", f"{key}.0")]
    # A device is known from an event, which a variant may have changed.
    assert (by_device["known_before"], by_device["strat_abs_estimate"]) == (False, None)
    # A cut-off of the last hour is computed again, as facts accepted before it may still arrive.
    assert {"experiment_id": x, "users": len(users)} in pipeline.server.read("segments_to_compute", rewritten=[])
    assert published_again(pipeline, x).segments
    assert pipeline.server.read("experiment_segments", experiment_id=x, dimension="") == found["segments"]
    assert pipeline.clickhouse("select count() from user_segments") == [(0,)]
    assert pipeline.clickhouse("select count() from user_traits") == [(0,)]


def test_segments_of_a_proportion_vary_as_their_users_do_whatever_those_did_before_and_however_they_are_portioned(
    pipeline, monkeypatch, small_portions
):
    key, x = create(pipeline, [("proportion", "buy", None, {}), ("mean", "buy", None, {})])
    users = {f"{key}-{n}": ARMS[n % 2] for n in range(120)}
    country = {user: COUNTRIES[n % 3] for n, user in enumerate(users)}
    assign(pipeline, key, users, {user: {"country": country[user]} for user in users})
    bought = {user for n, user in enumerate(users) if n % 4 == 0 or n % 5 == 0}
    events = [event(user, "buy", 1, value=float(n)) for n, user in enumerate(users) if user in bought]
    # Every seventh has rows of what was before alone.
    events += [event(user, "buy", -1, value=1.0) for n, user in enumerate(users) if n % 7 == 0]
    found = published(pipeline, x, events)["segments"]
    rows = {(row["metric"], row["segment"]): row for row in found if row["variant"] == "new"}
    for segment in COUNTRIES:
        moments = []
        for arm in ARMS:
            did = np.array([float(u in bought) for u in users if users[u] == arm and country[u] == segment])
            moments.append(Moments(len(did), did.mean(), did.var(ddof=1)))
        expected = relative_lift(*moments, normal=True)
        row = rows[f"{key}.0", segment]
        assert (row["rel_low"], row["rel_high"]) == pytest.approx((float(expected.low), float(expected.high)))
    small_portions(publication, x, 29)
    monkeypatch.setattr(publication, "_SEGMENTED_USERS", 41)
    assert published_again(pipeline, x).segments
    assert pipeline.server.read("experiment_segments", experiment_id=x, dimension="") == found


def test_an_assignment_that_was_taken_back_is_in_no_result_any_more_nor_in_those_by_dimension(
    pipeline: Pipeline,
) -> None:
    key, x = create(pipeline, [("proportion", "buy", None, {})])
    cities = {f"{key}-{city}-{n}": f"c{city}" for city in range(11) for n in range(4 if city == 0 else 2)}
    attributes = {user: {"city": city} for user, city in cities.items()}
    last = [user for user, city in cities.items() if city == "c0"]
    for batch in ([user for user in cities if user not in last], last):
        assign(pipeline, key, {user: ARMS[int(user[-1]) % 2] for user in batch}, attributes)
    before = published(pipeline, x, [event(last[0], "buy", -1)])
    assert sum(before["quality"]["counts"].values()) == 24
    assert "c0" in {row["segment"] for row in before["segments"]}
    for user in last:
        pipeline.postgres("select delete_assignment(%s, %s)", (key, user))
    pipeline.await_everything()
    pipeline.build()
    publish(pipeline.server)
    (quality,) = pipeline.server.read("experiment_quality", experiment_id=x)
    assert sum(quality["counts"].values()) == 20
    segments = pipeline.server.read("experiment_segments", experiment_id=x, dimension="")
    assert {row["segment"] for row in segments} == {*cities.values()} - {"c0"}
    assert sum(row["users"] for row in segments) == 20


def test_results_by_dimension_of_an_old_cutoff_are_made_again_where_the_results_differ(pipeline: Pipeline) -> None:
    key, x = create(pipeline, [("proportion", "buy", None, {})])
    users = {f"{key}-{n}": ARMS[n % 2] for n in range(4)}
    assign(pipeline, key, users, {user: {"city": f"c{n // 2}"} for n, user in enumerate(users)})
    pipeline.await_everything()
    pipeline.build()
    results = [row for row in publish(pipeline.server).results if row[0] == x]
    assert publication._rewritten(pipeline.server, results) == []
    place = RESULT_COLUMNS.index("users")
    one_more = [[*row[:place], row[place] + 1, *row[place + 1 :]] for row in results]
    assert publication._rewritten(pipeline.server, one_more) == [x]
    pipeline.server.command(
        "alter table experiment_cutoffs update cutoff_at = cutoff_at - toIntervalHour(2) where true", mutations_sync=2
    )
    for rewritten in ([], [x]):
        found = pipeline.server.read("segments_to_compute", rewritten=rewritten)
        assert [row["experiment_id"] for row in found if row["experiment_id"] == x] == rewritten


def test_segments_of_a_metric_with_a_window_compare_the_users_whose_window_is_over(pipeline):
    key, x = create(pipeline, [("mean", "buy", None, {"window": {"to_days": 2}})])
    over = {f"{key}-{n}": ARMS[n % 2] for n in range(30)}
    still_open = {f"{key}-late-{n}": ARMS[n % 2] for n in range(30)}
    country = {user: COUNTRIES[n % 3] for n, user in enumerate([*over, *still_open])}
    attributes = {user: {"country": told} for user, told in country.items()}
    assign(pipeline, key, over, attributes)
    assign(pipeline, key, still_open, attributes, pipeline.postgres("select utc_text(now())")[0][0])
    events = [event(user, "buy", 1, value=float(n)) for n, user in enumerate(over)]
    rows = published(pipeline, x, events)["segments"]
    assert {(row["segment"], row["variant"]): (row["users"], row["sum"]) for row in rows} == {
        (segment, arm): (5, sum(float(n) for n, u in enumerate(over) if over[u] == arm and country[u] == segment))
        for segment in COUNTRIES
        for arm in ARMS
    }


def test_a_change_of_weights_is_no_mismatch_and_a_split_against_the_weights_of_its_phase_is(pipeline):
    phases = [
        (1, "2026-01-01T00:00:00Z", "2026-03-20T00:00:00Z", {"control": 0.5, "new": 0.5}),
        (2, "2026-03-20T00:00:00Z", None, {"control": 0.9, "new": 0.1}),
    ]
    counts = {"as planned": ((60, 62), (90, 11)), "as if nothing had changed": ((60, 62), (50, 51))}
    found = {}
    for name, users_of_phase in counts.items():
        key, x = create(pipeline, [("proportion", "buy", None, {})])
        for phase, began, ended, weights in phases:
            pipeline.postgres(
                "insert into experiment_phases values (%s, %s, %s, %s, 1, %s, 'test')",
                (x, phase, began, ended, json.dumps(weights)),
            )
        pipeline.postgres(
            "update variants set weight = case when is_control then 0.9 else 0.1 end where experiment_id = %s", (x,)
        )
        pipeline.postgres("select publish_experiment(%s)", (x,))
        for at, each in zip(("2026-03-10T00:00:00Z", "2026-03-20T00:00:00Z"), users_of_phase, strict=True):
            users = {f"{key}-{at}-{arm}-{n}": arm for arm, size in zip(ARMS, each, strict=True) for n in range(size)}
            assign(pipeline, key, users, {}, at)
        quality = published(pipeline, x, [])["quality"]
        statistics = [
            stats.chisquare(c, np.array(w) * sum(c))
            for c, w in zip(users_of_phase, ((0.5, 0.5), (0.9, 0.1)), strict=True)
        ]
        expected = stats.chi2.sf(sum(s.statistic for s in statistics), 2)
        assert quality["sample_ratio_p_value"] == pytest.approx(expected, rel=1e-6)
        assert [p["p_value"] for p in quality["phases"]] == pytest.approx([s.pvalue for s in statistics], rel=1e-6)
        found[name] = quality
    assert found["as planned"]["sample_ratio_mismatch"] is False
    assert found["as planned"]["sample_ratio_anytime_p_value"] > 0.5
    assert found["as if nothing had changed"]["sample_ratio_mismatch"] is True
    assert any("sample ratio mismatch" in w for w in found["as if nothing had changed"]["warnings"])


def test_users_seen_in_several_variants_are_left_out_and_too_many_are_not_trusted(pipeline):
    key, x = create(pipeline, [("mean", "buy", None, {})])
    users = {f"{key}-{n}": ARMS[n % 2] for n in range(40)}
    moved, shown_other = f"{key}-0", f"{key}-1"
    assign(pipeline, key, users, {})
    assert pipeline.postgres("select delete_assignment(%s, %s)", (key, moved)) == [("deleted",)]
    assign(pipeline, key, {moved: "new"}, {})
    events = [event(u, "buy", 1, value=float(n)) for n, u in enumerate(users)]
    # An exposure tells which variant the user saw; an unknown name, or that of the user's own, says nothing new.
    for user, variant in ((shown_other, "control"), (f"{key}-3", "new"), (f"{key}-5", "other"), (f"{key}-7", None)):
        told = {"variant": variant} if variant else {}
        events.append(event(user, "exposure", 0.5, **told) | {"experiment": key})
    found = published(pipeline, x, events)
    assert found["quality"]["crossed_users"] == 2
    assert found["quality"]["crossed_share"] == pytest.approx(2 / 40)
    assert found["quality"]["counts"] == {"control": 19, "new": 19}
    assert [row["sum"] for row in found["results"]] == [sum(range(2, 40, 2)), sum(range(3, 40, 2))]
    assert any(w.startswith("2 users (5.0%) were seen in several variants") for w in found["quality"]["warnings"])
    assert {d["verdict"] for d in found["quality"]["decisions"]} == {"not_trusted"}


def test_missing_exposures_and_clocks_that_cannot_be_right_are_warned_of(pipeline):
    key, x = create(pipeline, [("mean", "buy", None, {})])
    pipeline.postgres("update experiments set created_at = '2026-01-01' where experiment_id = %s", (x,))
    pipeline.postgres("select publish_experiment(%s)", (x,))
    users = {f"{key}-{n}": ARMS[n % 2] for n in range(40)}
    assign(pipeline, key, users, {})
    # Control's exposures are missing; every event is accepted months after it happened.
    events = [event(u, "exposure", 0.5) for u in users if users[u] == "new"]
    events += [event(u, "buy", 1, value=1.0) for u in users]
    events.append(event(f"{key}-0", "buy", -0.01, value=1.0) | {"experiment": key})
    events.append(event(f"{key}-2", "buy", 0, value=1.0) | {"timestamp": "2120-01-01T00:00:00Z"})
    warnings = published(pipeline, x, events)["quality"]["warnings"]
    assert "20 of 40 users with events have no exposure: some exposures are missing" in warnings
    assert any(w.startswith("exposures are not missing alike in all variants") for w in warnings)
    assert any(w.startswith("61 of 61 events came more than a day after they happened") for w in warnings)
    assert any(w.startswith("1 of 61 events name the experiment and are dated before") for w in warnings)


def test_power_and_days_left_are_told_for_a_metric_that_says_which_effect_is_worth_finding(pipeline):
    key, x = create(pipeline, [("mean", "buy", None, {"minimum_effect": 0.1}), ("mean", "buy", None, {})])
    users = {f"{key}-{n}": ARMS[n % 2] for n in range(60)}
    now = pipeline.postgres("select utc_text(now())")[0][0]
    assign(pipeline, key, users, {}, now)
    random = np.random.default_rng(2)
    events = [event(u, "buy", 0, value=float(random.normal(10, 3))) | {"timestamp": None} for u in users]
    rows = {(r["metric"], r["variant"]): r for r in published(pipeline, x, events)["results"]}
    told, untold = rows[f"{key}.0", "new"], rows[f"{key}.1", "new"]
    assert told["minimum_effect"] == 0.1
    assert 0 < told["power"] < 0.8
    assert told["users_needed"] > 60
    # 60 users in the seven days before the cut-off.
    assert told["days_left"] == pytest.approx(np.ceil((told["users_needed"] - 60) / (60 / 7)))
    assert untold["detectable_effect"] == told["detectable_effect"] > 0.1
    assert (untold["power"], untold["users_needed"], untold["days_left"]) == (None, None, None)
