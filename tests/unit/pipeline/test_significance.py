"""From sufficient statistics to rows of results: held against scipy on raw values, and the cases without an answer."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from scipy import stats

from neonblue_pipeline.significance import QUALITY_COLUMNS, RESULT_COLUMNS, quality, results

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def cell(variant: int, metric: str | None = "m", kind: str = "mean", users: int = 0, **given: Any) -> dict[str, Any]:
    """A row of sufficient_statistics; variant 1 is the control."""
    return {
        "experiment_id": 7,
        "cutoff_at": NOW,
        "metric": metric or "",
        "metric_position": 1,
        "kind": kind,
        "direction": "increase",
        "role": "target",
        "definition": "{}",
        "variant_id": variant,
        "variant_position": variant,
        "variant": "control" if variant == 1 else f"treatment_{variant}",
        "weight": 0.5,
        "is_control": variant == 1,
        "users": users,
        "active": users,
        "sum": 0.0,
        "mean": float("nan"),
        "centred_squares": float("nan"),
    } | given


def cell_of(variant: int, values: np.ndarray, **given: Any) -> dict[str, Any]:
    mean = values.mean()
    squares = ((values - mean) ** 2).sum()
    return cell(variant, users=len(values), sum=values.sum(), mean=mean, centred_squares=squares, **given)


def named(columns: list[str], rows: list[list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in rows]


def test_revenue_around_a_billion_is_compared_as_scipy_compares_the_raw_values() -> None:
    random = np.random.default_rng(1)
    control, treatment = 1e9 + random.normal(0, 1, 500), 1e9 + random.normal(0.2, 1, 700)
    row = named(RESULT_COLUMNS, results([cell_of(1, control), cell_of(2, treatment)]))[1]
    expected = stats.ttest_ind(treatment, control, equal_var=False)
    assert row["abs_p_value"] == pytest.approx(expected.pvalue, rel=1e-6)
    assert row["abs_low"] == pytest.approx(expected.confidence_interval().low, rel=1e-6)


def test_each_variant_is_compared_with_the_control_of_its_own_metric() -> None:
    cells = [
        cell_of(v, np.array(x, dtype=float), metric=m, metric_position=p)
        for p, m, arms in (
            (1, "a", ([1, 2, 3], [2, 3, 4], [5, 6, 7])),
            (2, "b", ([10, 11, 12], [10, 12, 14], [0, 0, 1])),
        )
        for v, x in enumerate(arms, start=1)
    ]
    rows = named(RESULT_COLUMNS, results(cells))
    assert [(r["metric"], r["variant_id"], r["abs_estimate"]) for r in rows if not r["is_control"]] == [
        ("a", 2, pytest.approx(1)),
        ("a", 3, pytest.approx(4)),
        ("b", 2, pytest.approx(1)),
        ("b", 3, pytest.approx(-32 / 3)),
    ]
    assert all(r["abs_estimate"] is None for r in rows if r["is_control"])


def test_undefined_figures_are_none_and_never_an_error() -> None:
    empty = named(RESULT_COLUMNS, results([cell(1), cell(2)]))
    assert {row["mean"] for row in empty} == {None}
    assert {row["abs_p_value"] for row in empty} == {None}
    alone = named(RESULT_COLUMNS, results([cell_of(1, np.array([1.0, 2.0]))]))
    assert alone[0]["mean"] == 1.5


@pytest.mark.parametrize(
    ("cells", "warning"),
    [
        ([cell(1), cell(2)], "no users assigned yet"),
        ([cell_of(1, np.ones(5))], "1 variant: there is nothing to compare"),
        ([cell_of(2, np.ones(5)), cell_of(3, np.ones(5))], "no variant is marked as control: effects have no base"),
        ([cell(1, metric=None, users=5), cell(2, metric=None, users=5)], "no metrics: add one to see effects"),
        ([cell(1, users=5, active=0), cell(2, users=5, active=0)], "metric m: never measured"),
        ([cell(1, users=5, kind="ratio"), cell(2, users=5, kind="ratio")], "metric m: kind 'ratio' is not computed"),
        ([cell(1, users=5, sum=float("inf")), cell(2, users=5)], "metric m: values too large to add up in a float"),
    ],
)
def test_what_a_reader_must_know_is_a_warning(cells: list[dict[str, Any]], warning: str) -> None:
    warnings = named(QUALITY_COLUMNS, quality(cells))[0]["warnings"]
    assert any(found.startswith(warning) for found in warnings), warnings


def test_the_split_of_the_demo_raises_no_alarm_and_one_twice_as_uneven_does() -> None:
    split = named(QUALITY_COLUMNS, quality([cell(1, users=44_700), cell(2, users=45_489)]))[0]
    assert split["sample_ratio_p_value"] == pytest.approx(0.0086, abs=5e-5)
    assert not split["sample_ratio_mismatch"]
    uneven = named(QUALITY_COLUMNS, quality([cell(1, users=44_300), cell(2, users=45_889)]))[0]
    assert uneven["sample_ratio_mismatch"]
    assert any("sample ratio mismatch" in warning for warning in uneven["warnings"])
