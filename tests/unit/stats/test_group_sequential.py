"""Spending boundaries against published tables, direct integration and each other."""

import numpy as np
import pytest
from scipy import stats

from neonblue_stats import InvalidInput, boundaries, group_sequential, spent_alpha

# Reboussin, DeMets, Kim and Lan (2000) and the R package ldbounds: alpha .05 two-sided, equal looks
PUBLISHED = {
    ("obrien_fleming", 5): [4.8769, 3.3569, 2.6803, 2.2898, 2.0310],
    ("pocock", 5): [2.4380, 2.4268, 2.4101, 2.3966, 2.3859],
    ("obrien_fleming", 2): [2.9626, 1.9686],
    ("pocock", 2): [2.1570, 2.2010],
}


@pytest.mark.parametrize(("plan", "z"), PUBLISHED.items())
def test_boundaries_agree_with_the_published_tables(plan, z):
    spending, looks = plan
    ours = boundaries(np.arange(1, looks + 1) / looks, 0.05, spending)
    # the tables' own integration is good to about 1e-4
    np.testing.assert_allclose(ours.z, z, atol=1.5e-4)


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
@pytest.mark.parametrize("sided", ["two", "greater"])
def test_three_looks_agree_with_the_multivariate_normal(spending, sided):
    t = np.array([0.3, 0.55, 1.0])
    ours = boundaries(t, 0.05, spending, sided=sided)
    cov = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    for k in (1, 2, 3):
        lower = -ours.z[:k] if sided == "two" else np.full(k, -np.inf)
        stay = stats.multivariate_normal.cdf(
            ours.z[:k], np.zeros(k), cov[:k, :k], maxpts=2_000_000, abseps=1e-8, releps=1e-8, lower_limit=lower
        )
        assert 1 - stay == pytest.approx(float(ours.spent[k - 1]), abs=3e-6)


def test_one_look_at_the_end_is_the_fixed_test():
    two, one = boundaries([1.0], 0.05), boundaries([1.0], 0.05, "pocock", sided="greater")
    assert float(two.z[0]) == pytest.approx(stats.norm.ppf(0.975), abs=1e-10)
    assert float(one.z[0]) == pytest.approx(stats.norm.ppf(0.95), abs=1e-10)


def test_a_one_sided_plan_is_half_of_a_two_sided_one_while_crossing_both_sides_is_rare():
    two, one = boundaries([0.5, 1.0], 0.05), boundaries([0.5, 1.0], 0.025, sided="greater")
    np.testing.assert_allclose(two.z, one.z, atol=1e-5)


def test_all_alpha_is_spent_at_the_end_and_never_less_than_before():
    for spending in ("obrien_fleming", "pocock"):
        spent = spent_alpha(np.linspace(0.01, 1.0, 50), 0.05, spending)
        assert (np.diff(spent) >= 0).all()
        assert spent[-1] == pytest.approx(0.05, rel=1e-12)


def test_a_very_early_look_that_spends_nothing_has_no_boundary():
    ours = boundaries([0.0005, 0.5, 1.0])
    assert np.isinf(ours.z[0])
    assert np.isinf(boundaries([0.5, 1.0], 1e-307, "pocock").z).all()
    np.testing.assert_allclose(ours.z[1:], boundaries([0.5, 1.0]).z, atol=1e-8)


def test_a_hundred_looks_spend_alpha_and_no_more():
    ours = boundaries((np.arange(1, 101) / 100).tolist(), 0.05, "pocock")
    assert float(ours.spent[-1]) == pytest.approx(0.05, rel=1e-9)
    assert np.all(np.diff(ours.z) > -0.2)
    assert 2.4 < ours.z[-1] < 3.2


@pytest.mark.parametrize("sided", ["two", "greater", "less"])
def test_repeated_interval_leaves_out_zero_exactly_when_p_is_below_alpha(sided):
    edge = boundaries([0.2, 0.5, 0.7], sided=sided).z[-1]
    z = np.concatenate([np.linspace(-5, 5, 2001), edge * (1 + np.array([-1e-9, 1e-9]))])
    ours = group_sequential(z, np.ones(z.shape), [0.2, 0.5, 0.7], sided=sided)
    outside = (ours.low > 0.0) | (ours.high < 0.0)
    assert (outside == (ours.p_value < 0.05)).all()


def test_repeated_p_value_is_the_level_whose_boundary_is_touched():
    for level in (0.3, 0.02, 0.001):
        z = float(boundaries([0.4, 0.8], level, "pocock").z[-1])
        ours = group_sequential(z, 1.0, [0.4, 0.8], 0.05, "pocock")
        assert float(ours.p_value) == pytest.approx(level, rel=0.02)


@pytest.mark.parametrize("looks", [[], [0.5, 0.5], [0.5, 0.4], [0.0, 1.0], [0.5, 1.1], [float("nan")]])
def test_looks_that_do_not_increase_to_at_most_one_are_refused(looks):
    with pytest.raises(InvalidInput, match="looks"):
        boundaries(looks)


def test_looks_that_nearly_coincide_are_answered_and_leave_the_later_boundaries_where_they_were():
    for spending in ("obrien_fleming", "pocock"):
        close = boundaries([0.5, 0.500001, 0.50000100001, 0.6, 1.0], 0.05, spending)
        plain = boundaries([0.5, 0.6, 1.0], 0.05, spending)
        assert close.z[[0, 3, 4]] == pytest.approx(plain.z, rel=1e-4)
        assert np.all(np.isfinite(close.z))
        assert close.spent[-1] == pytest.approx(0.05)
