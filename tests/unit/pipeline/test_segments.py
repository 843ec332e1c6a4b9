"""Results by dimension from rows of segment statistics: which lifts are compared, and each segment's split."""

import pytest

from neonblue_pipeline.segments import DIMENSION_COLUMNS, SEGMENT_COLUMNS, analyse_segments
from tests.unit.pipeline.test_significance import cell


def ratio(variant, segment, mean, variance):
    """400 users of a segment, whose denominators are all close to 2, and whose numerators vary."""
    squares = {"centred_squares": 399 * variance, "dd": 399 * 0.01, "yd": 0.0}
    given = squares | {"mean": mean, "d_mean": 2.0, "dimension": "device", "segment": segment, "known_before": True}
    return cell(variant, kind="ratio", users=400, sum=400 * mean, denominator_sum=800.0, **given)


def test_a_lift_over_a_ratio_that_could_as_well_be_zero_is_not_compared_with_those_of_other_segments() -> None:
    # The lift's own standard error is small here, where the treatment's ratio is near 0, too.
    for control_mean, compared in ((0.1, False), (1.0, True)):
        cells = [
            ratio(variant, segment, mean, 1.0)
            for segment, means in (("desktop", (5.0, 5.0)), ("phone", (control_mean, 0.0)))
            for variant, mean in enumerate(means, start=1)
        ]
        (row,) = (dict(zip(DIMENSION_COLUMNS, r, strict=True)) for r in analyse_segments(cells, [])[1])
        assert (row["interaction_p_value"] is not None) == compared
        assert row["differs"] == compared


def test_a_segment_of_few_users_is_no_mismatch_by_chance_alone() -> None:
    users = {"us": {"control": 9900, "treatment_2": 100}, "mt": {"control": 2, "treatment_2": 1}}
    phases = [
        {"experiment_id": 7, "dimension": "country", "segment": segment, "phase": 0, "users": counts}
        | {"weights": {"control": 0.99, "treatment_2": 0.01}}
        for segment, counts in users.items()
    ]
    cells = [
        cell(variant, users=counts[name], mean=1.0, centred_squares=1.0)
        | {"dimension": "country", "segment": segment, "known_before": True}
        for segment, counts in users.items()
        for variant, name in enumerate(counts, start=1)
    ]
    rows = [dict(zip(SEGMENT_COLUMNS, row, strict=True)) for row in analyse_segments(cells, phases)[0]]
    assert [row["sample_ratio_p_value"] for row in rows] == pytest.approx([1, 1, *[2 * (1 - 0.99**3)] * 2])
    assert not any(row["sample_ratio_mismatch"] or row["warning"] for row in rows)
