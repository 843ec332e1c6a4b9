"""Moments from sums: digits kept, merges that do not depend on the order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neonblue_stats import InvalidInput, JointMoments, Moments, welch
from tests.unit.stats.fix_arms import arm

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


def of(sample) -> Moments:
    x = np.array(sample, dtype=float)
    return Moments(len(x), x.mean(), x.var(ddof=1) if len(x) > 1 else np.nan)


@given(values, values, values)
@settings(max_examples=60, deadline=None)
def test_merging_is_associative_and_equals_the_whole(a, b, c):
    left, right, whole = (of(a) + of(b)) + of(c), of(a) + (of(b) + of(c)), of(a + b + c)
    scale = max(1.0, float(np.max(np.abs(a + b + c))))
    for other in (left, right):
        assert float(other.n) == float(whole.n)
        assert float(other.mean) == pytest.approx(float(whole.mean), abs=1e-12 * scale)
        assert float(other.var) == pytest.approx(float(whole.var), rel=1e-9, abs=1e-12 * scale**2)


def test_merging_with_an_empty_group_changes_nothing():
    empty, full = Moments(0, np.nan, np.nan), Moments(10, 3.0, 2.0)
    for merged in (empty + full, full + empty):
        assert (float(merged.n), float(merged.mean), float(merged.var)) == (10.0, 3.0, 2.0)
    assert np.isnan((empty + empty).mean)


def test_joint_moments_agree_with_numpy_and_merge_like_the_data():
    a, b = arm(1, 300), arm(2, 200)
    ours = a.joint("y", "x", "d") + b.joint("y", "x", "d")
    columns = np.array([np.concatenate([getattr(a, c), getattr(b, c)]) for c in ("y", "x", "d")])
    np.testing.assert_allclose(ours.mean, columns.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(ours.cov, np.cov(columns), rtol=1e-9)


def test_joint_moments_keep_digits_through_a_shift():
    rng = np.random.default_rng(0)
    y, x = rng.normal(0, 1, 1000), rng.normal(0, 1, 1000)
    shifted = JointMoments.from_sums(
        1000, [y.sum(), x.sum()], [[(y * y).sum()], [(y * x).sum(), (x * x).sum()]], shift=[1e12, -1e9]
    )
    np.testing.assert_allclose(shifted.cov, np.cov(y, x), rtol=1e-9)
    np.testing.assert_allclose(shifted.mean, [1e12 + y.mean(), -1e9 + x.mean()], rtol=1e-15)


def test_joint_moments_of_the_wrong_shape_are_refused():
    with pytest.raises(InvalidInput, match=r"\(d, d, k\)"):
        JointMoments(10, [1.0, 2.0], [[1.0]])


def test_revenue_around_a_billion_keeps_its_digits_only_through_a_shift():
    rng = np.random.default_rng(1)
    control, treatment = 1e9 + rng.normal(0, 3.0, 5000), 1e9 + rng.normal(0.2, 3.0, 5000)
    expected = welch(of(control), of(treatment))

    def from_sums(x, shift):
        z = x - shift
        return Moments.from_sums(len(z), z.sum(), (z * z).sum(), shift)

    shifted = welch(from_sums(control, 1e9 + 10), from_sums(treatment, 1e9 + 10))
    # the means themselves carry 1e9 in doubles: 7 digits of the difference are left
    assert float(shifted.standard_error) == pytest.approx(float(expected.standard_error), rel=1e-9)
    assert float(shifted.p_value) == pytest.approx(float(expected.p_value), rel=1e-4)
    raw = from_sums(control, 0.0)
    assert np.isnan(raw.var) or abs(float(raw.var) / control.var(ddof=1) - 1) > 1e-3


def test_a_variance_that_rounding_has_eaten_is_undefined_and_not_zero():
    assert np.isnan(Moments.from_sums(1000, 1e15, 1e27 * (1 + 1e-15)).var)
    assert float(Moments.from_sums(4, 20.0, 100.0).var) == 0.0


def test_centred_sums_and_proportions_give_the_sample_variance():
    x = np.r_[np.ones(30), np.zeros(70)]
    assert float(Moments.from_proportion(100, 30).var) == pytest.approx(x.var(ddof=1), rel=1e-12)
    assert float(Moments.from_centred(100, 0.3, ((x - 0.3) ** 2).sum()).var) == pytest.approx(x.var(ddof=1), rel=1e-12)
    assert np.isnan(Moments.from_centred(1, 0.3, 0.0).var)
