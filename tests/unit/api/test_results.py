from datetime import UTC, datetime

import pytest

from neonblue_api.models.experiments import Experiment, MetricOfExperiment, Variant
from neonblue_api.results import assemble, summarise

AT = datetime(2026, 6, 1, tzinfo=UTC)


def _experiment(**fields) -> Experiment:
    return Experiment(
        **{
            "key": "e",
            "name": "",
            "description": "",
            "status": "running",
            "seed": "e",
            "coverage": 1.0,
            "phase": 1,
            "revision": 2,
            "started_at": AT,
            "stopped_at": None,
            "created_at": AT,
            "updated_at": AT,
            "variants": [
                Variant(key="b", name="", weight=0.5, is_control=False),
                Variant(key="a", name="", weight=0.5, is_control=True),
            ],
            "metrics": [MetricOfExperiment(key="m", role="target"), MetricOfExperiment(key="n", role="target")],
        }
        | fields
    )


def _row(metric: str, variant: str, **fields):
    effects = {f"{k}_{n}": None for k in ("abs", "rel") for n in ("estimate", "low", "high", "p_value")}
    return (
        {"metric": metric, "variant": variant, "users": 10, "sum": 4.0, "mean": 0.4, "cutoff_at": AT} | effects | fields
    )


KINDS = {"m": "proportion", "n": "mean"}
QUALITY = {
    "cutoff_at": AT,
    "counts": {"a": 10, "b": 12},
    "sample_ratio_p_value": 0.7,
    "sample_ratio_mismatch": False,
    "warnings": ["late events"],
}


def test_the_result_has_the_form_of_the_contract():
    rows = [_row("m", "a"), _row("m", "b", abs_estimate=0.1, abs_low=-0.1, abs_high=0.3, abs_p_value=0.2)]
    result = assemble(_experiment(), KINDS, rows, QUALITY).model_dump(mode="json")
    assert result["experiment"] == "e"
    assert result["as_of"] == "2026-06-01T00:00:00.000000Z"
    asked = {"counts": {"a": 10, "b": 12}, "p_value": 0.7, "mismatch": False}
    never_asked = {"anytime_p_value": None, "crossed_users": 0, "crossed_share": None, "phases": []}
    assert result["sample_ratio"] == asked | never_asked
    control, treated = result["metrics"][0]["variants"]
    assert (control["variant"], control["control"], control["users"], control["absolute"]) == ("a", True, 10, None)
    assert treated["absolute"] == {"estimate": 0.1, "low": -0.1, "high": 0.3, "p_value": 0.2}
    assert treated["relative"] == {"estimate": None, "low": None, "high": None, "p_value": None}


def test_a_metric_never_measured_has_nulls_and_a_warning():
    result = assemble(_experiment(), KINDS, [_row("m", "a"), _row("m", "b")], QUALITY)
    assert [variant.users for variant in result.metrics[1].variants] == [None, None]
    assert result.warnings == ["late events", "metric n was never measured"]


def test_an_experiment_without_data_has_nulls_and_a_warning():
    result = assemble(_experiment(), KINDS, [], None)
    assert result.as_of is None
    assert result.sample_ratio.counts == {"a": 0, "b": 0}
    assert result.sample_ratio.p_value is None
    assert len(result.metrics) == 2
    assert result.warnings


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"variants": []}, "no variants"),
        ({"variants": [Variant(key="a", name="", weight=1, is_control=True)]}, "single variant"),
        ({"metrics": []}, "no metrics"),
        ({"status": "draft"}, "not begun"),
        ({"phase": 2}, "phase 2"),
    ],
)
def test_what_keeps_a_result_from_saying_much_is_a_warning(fields, said):
    warnings = assemble(_experiment(**fields), KINDS, [], QUALITY).warnings
    assert any(said in warning for warning in warnings)


def test_figures_that_are_no_numbers_are_null():
    rows = [_row("m", "a", mean=float("nan")), _row("m", "b", rel_estimate=float("inf"))]
    control, treated = assemble(_experiment(), KINDS, rows, QUALITY).metrics[0].variants
    assert control.mean is None
    assert treated.relative is not None
    assert treated.relative.estimate is None


def test_a_summary_without_rows_has_zeros_and_a_warning():
    summary = summarise(_experiment(), [])
    assert [(v.variant, v.users, v.conversion_rate) for v in summary.variants] == [("a", 0, None), ("b", 0, None)]
    assert summary.warnings


def test_every_method_and_the_decisions_are_published():
    figures = {
        "adjusted_p_value": 0.3,
        "seq_abs_low": -0.2,
        "seq_rel_p_value": 0.9,
        "seq_adjusted_p_value": 1.0,
        "bayes_rel_chance_to_win": 0.88,
        "cuped_rel_estimate": 0.07,
        "cuped_variance_removed": 0.4,
        "history_users": 7,
    }
    made = {"variant": "b", "verdict": "keep_running", "reasons": ["m is not decided"], "would_change": ["more users"]}
    rows = [_row("m", "a"), _row("m", "b", **figures)]
    result = assemble(_experiment(), KINDS, rows, QUALITY | {"decisions": [made]}).model_dump(mode="json")
    control, treated = result["metrics"][0]["variants"]
    assert [control[method] for method in ("sequential", "bayesian", "cuped")] == [None, None, None]
    assert (treated["adjusted_p_value"], treated["history_users"]) == (0.3, 7)
    assert treated["sequential"]["absolute"] == {"low": -0.2, "high": None, "p_value": None}
    assert treated["sequential"]["relative"]["p_value"] == 0.9
    assert treated["sequential"]["adjusted_p_value"] == 1.0
    assert treated["bayesian"]["relative"]["chance_to_win"] == 0.88
    assert treated["cuped"]["relative"]["estimate"] == 0.07
    assert treated["cuped"]["variance_removed"] == 0.4
    assert result["decisions"] == [made]
