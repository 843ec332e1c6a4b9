"""Which estimate decides, what is left to do, and what the checks of the data warn of."""

import numpy as np
import pytest

from neonblue_pipeline.comparisons import compare
from neonblue_pipeline.data_quality import audit_warnings, crossed_share, split_warnings, splits
from neonblue_pipeline.verdicts import Arrivals, judge
from neonblue_stats import Trust, interval_alpha, lift_sequence
from tests.unit.pipeline.test_significance import arms, cell, quality


def with_history(cells, correlation):
    """The cells with a covariate of the same variance and this correlation."""
    return [
        c
        | {
            "x_mean": 10.0,
            "xx": c["centred_squares"],
            "yx": correlation * c["centred_squares"],
            "history_users": c["users"],
        }
        for c in cells
    ]


def judged(cells, arrivals=None):
    comparisons = compare(cells)
    decisions = judge(comparisons, {7: Trust()}, arrivals)
    return comparisons, decisions[7]


def test_where_users_have_a_history_the_sequence_of_the_adjusted_estimate_decides():
    plain = arms(0.03, "m", 1)
    (without,), (kept,) = judged(plain)
    (adjusted,), (shipped,) = judged(with_history(plain, 0.95))
    assert (kept["verdict"], shipped["verdict"]) == ("keep_running", "ship")
    sequence = lift_sequence(adjusted.adjusted, adjusted.n)
    assert adjusted.figures["cuped_seq_rel_p_value"] == pytest.approx(float(sequence.p_value))
    assert adjusted.figures["decisive_p_value"] == adjusted.figures["cuped_seq_rel_p_value"]
    # The plain figures stay what they were, and decide where there is no history.
    for name in ("seq_rel_p_value", "seq_adjusted_p_value", "adjusted_p_value"):
        assert adjusted.figures[name] == without.figures[name]
    assert without.figures["decisive_p_value"] == without.figures["seq_rel_p_value"]
    assert f"{float(sequence.estimate):+.2%}" in shipped["reasons"][0]


def converting(control: int, treatment: int, n: int = 10_000, **given):
    """A proportion: successes of two variants of n users each."""
    return [
        cell(
            variant, given.get("metric", "bought"), "proportion", n, sum=x, mean=x / n,
            centred_squares=x - x * x / n, active=x, **{k: v for k, v in given.items() if k != "metric"},
        )
        for variant, x in ((1, control), (2, treatment))
    ]  # fmt: skip


def test_a_treatment_in_which_nobody_converts_is_rolled_back():
    (comparison,), (decision,) = judged(converting(500, 0))
    assert decision["verdict"] == "roll_back"
    assert comparison.figures["decisive_p_value"] < 1e-50
    better = arms(0.1, "m", 2)
    _, (decision,) = judged([*better, *converting(500, 0, role="guardrail", metric_position=3)])
    assert decision["verdict"] == "roll_back"


def test_few_conversions_decide_nothing_in_either_direction():
    for control, treatment in ((9, 2), (2, 9)):
        (comparison,), (decision,) = judged(converting(control, treatment))
        assert decision["verdict"] == "keep_running"
        figures = comparison.figures
        assert figures["seq_rel_p_value"] == figures["seq_abs_p_value"] > 0.3
        assert figures["bayes_rel_chance_to_win"] == figures["bayes_abs_chance_to_win"]


def test_where_the_control_cannot_be_told_from_0_the_difference_decides():
    (comparison,), (decision,) = judged(converting(4, 60))
    assert comparison.figures["seq_rel_low"] is None
    assert decision["verdict"] == "ship"
    assert "+0.0056" in decision["reasons"][0]


@pytest.mark.parametrize("metrics", [1, 10, 50])
@pytest.mark.parametrize("users", [500, 2_000_000])
def test_a_verdict_and_the_p_value_that_decides_never_contradict_each_other(metrics, users):
    n = users // 2
    for z in np.linspace(2.5, 6.0, 36):
        difference = z * np.sqrt(2 / n)
        cells = [
            cell(v, f"m{m}", users=n, sum=n * mean, mean=mean, centred_squares=n - 1.0, metric_position=m)
            for m in range(metrics)
            for v, mean in ((1, 100.0), (2, 100.0 + (difference if m == 0 else 0.0)))
        ]
        comparisons, (decision,) = judged(cells)
        assert (decision["verdict"] == "ship") == (comparisons[0].figures["decisive_p_value"] < 0.05)


def test_something_bad_that_nobody_did_does_not_hold_a_winner_back():
    better = arms(0.1, "m", 1)
    for successes, verdict in (((0, 0), "ship"), ((50, 0), "ship"), ((0, 3), "keep_running")):
        guardrail = converting(*successes, role="guardrail", direction="decrease", metric_position=2)
        assert judged(better + guardrail)[1][0]["verdict"] == verdict, successes
    _, (decision,) = judged(better + converting(0, 0, role="guardrail", metric_position=2))
    assert decision["verdict"] == "keep_running"
    assert decision["would_change"] == ("bought: its events; none counts yet in either variant.",)


def test_one_family_of_decisive_p_values_holds_adjusted_and_plain_metrics_together():
    cells = with_history(arms(0.02, "a", 1), 0.9) + arms(0.025, "b", 2) + arms(0.03, "g", 3, role="guardrail")
    comparisons, _ = judged(cells)
    a, b, g = comparisons
    raw = [a.figures["cuped_seq_rel_p_value"], b.figures["seq_rel_p_value"]]
    order = np.argsort(raw)
    holm = np.empty(2)
    holm[order] = np.minimum(np.maximum.accumulate(np.array(raw)[order] * [2, 1]), 1)
    assert [a.figures["decisive_p_value"], b.figures["decisive_p_value"]] == pytest.approx(list(holm))
    assert g.figures["decisive_p_value"] is None


def test_power_is_that_of_the_sequence_at_the_level_that_holm_leaves():
    definition = '{"minimum_effect": 0.004}'
    alone = judged(arms(0.001, "a", 1, definition=definition))[0][0].figures
    two = judged(arms(0.001, "a", 1, definition=definition) + arms(0.001, "b", 2))[0][0].figures
    assert alone["minimum_effect"] == 0.004
    assert two["power"] < alone["power"]
    assert two["users_needed"] > alone["users_needed"] > 40_000
    assert two["detectable_effect"] > alone["detectable_effect"] > 0.004
    assert interval_alpha([0.9, 0.9], "holm", 0.05)[0] == 0.025


def test_days_left_follow_the_pace_at_which_users_of_the_two_variants_come_and_the_metric_s_window():
    definition = '{"minimum_effect": 0.004, "window": {"to_days": 7}}'
    cells = arms(0.001, "a", 1, definition=definition)
    needed = judged(cells)[0][0].figures["users_needed"]
    # A third variant takes half of all users.
    arrivals = {7: Arrivals(80_000, 4_000.0)}
    figures = judged(cells, arrivals)[0][0].figures
    assert figures["days_left"] == np.ceil((needed - 40_000) / 2_000) + 7
    for nobody in (Arrivals(80_000, 0.0), Arrivals(0, 0.0)):
        assert judged(cells, {7: nobody})[0][0].figures["days_left"] is None
    assert judged(cells)[0][0].figures["days_left"] is None
    enough = '{"minimum_effect": 0.02}'
    assert judged(arms(0.001, "a", 1, definition=enough), arrivals)[0][0].figures["days_left"] == 0


AUDIT = {
    "assigned": 990, "crossed": 10, "seen": {"a": 300, "b": 300}, "unexposed": {"a": 3, "b": 3},
    "counted_events": 5000, "late_events": 50, "ahead_events": 50, "early_events": 50,
}  # fmt: skip


def test_what_stays_within_one_percent_is_not_warned_of_and_what_is_above_it_is():
    assert crossed_share(AUDIT) == 0.01
    assert list(audit_warnings(AUDIT)) == []
    beyond = AUDIT | {
        "crossed": 11,
        "unexposed": {"a": 3, "b": 4},
        "late_events": 51,
        "ahead_events": 51,
        "early_events": 51,
    }
    said = list(audit_warnings(beyond))
    for words in (
        "11 users (1.1%)",
        "7 of 600 users",
        "51 of 5,000 events came",
        "are dated more than",
        "before their",
    ):
        assert sum(words in warning for warning in said) == 1, (words, said)
    assert len(said) == 5


def test_exposures_that_are_missing_in_one_variant_only_are_warned_of_and_none_at_all_is_no_warning():
    said = list(audit_warnings(AUDIT | {"unexposed": {"a": 0, "b": 30}}))
    assert any("not missing alike" in warning and "b 10.0%" in warning for warning in said)
    assert list(audit_warnings(AUDIT | {"unexposed": {"a": 300, "b": 300}})) == []
    assert (
        list(audit_warnings(AUDIT | {"seen": {}, "unexposed": {}, "assigned": 0, "crossed": 0, "counted_events": 0}))
        == []
    )


def test_users_of_a_variant_whose_weight_is_zero_in_their_phase_are_pointed_out():
    rows = [
        {"experiment_id": 1, "dimension": "", "segment": "", "phase": phase, "weights": weights, "users": users}
        for phase, weights, users in (
            (1, {"a": 0.5, "b": 0.5}, {"a": 50, "b": 51}),
            (2, {"a": 0.5, "b": 0.5, "c": 0.0}, {"a": 20, "b": 22, "c": 4}),
        )
    ]
    split = splits(rows)[1, "", ""]
    assert not split.mismatch
    assert split.p_value > 0.5
    assert list(split_warnings(split)) == [
        "4 users came to c in phase 2, in which its weight is 0; they are compared, but no part of the sample ratio "
        "check"
    ]


def test_few_users_of_a_variant_with_a_small_weight_are_no_mismatch_by_chance_alone():
    rows = [
        {"experiment_id": 1, "dimension": "", "segment": "", "phase": 1} | {"weights": weights, "users": users}
        for weights, users in (({"a": 0.99, "b": 0.01}, {"a": 2, "b": 1}),)
    ]
    split = splits(rows)[1, "", ""]
    assert split.p_value == pytest.approx(1 - 0.99**3)
    assert split.phases[0].p_value == pytest.approx(1 - 0.99**3)
    assert list(split_warnings(split)) == []


def early_difference(standard_errors, metric, position):
    """Control and treatment that differ by so much in what their users did before."""
    control, treatment = with_history(arms(0.1, metric, position), 0.5)
    return [control, treatment | {"x_mean": 10.0 + standard_errors * np.sqrt(2 / 20_000)}]


def test_a_difference_before_the_start_counts_as_one_of_all_metrics_and_treatments():
    others = [c for n in range(2, 6) for c in early_difference(0.0, f"m{n}", n)]
    for standard_errors, alone, among_others in ((3.5, True, False), (4.5, True, True)):
        cells = early_difference(standard_errors, "m", 1)
        for trusted, (told,) in ((not alone, quality(cells)), (not among_others, quality(cells + others))):
            said = [w for w in told["warnings"] if "differed from" in w]
            assert (told["decisions"][0][1] != "not_trusted") == trusted
            assert len(said) == (not trusted)
    assert said[0].startswith("metric m: treatment_2 differed from control already in the 14 days before the start")
    assert "(p = 3.4e-05, adjusted)" in said[0]
