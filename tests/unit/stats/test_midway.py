"""Power in the middle of an experiment, and the users still needed."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import NormalIndPower

from neonblue_stats import confidence_sequence, midway, power_so_far, sample_size


def test_power_reached_is_that_of_statsmodels_at_the_error_that_the_data_show():
    sd, n, effect = 3.0, 1000, 0.4
    ours = midway(sd * np.sqrt(4 / n), n, effect)
    theirs = NormalIndPower().power(effect / sd, n / 2, 0.05)
    assert ours.power == pytest.approx(theirs, rel=1e-9)
    assert ours.power == pytest.approx(power_so_far(sd * np.sqrt(4 / n), effect), rel=1e-12)


@pytest.mark.parametrize("tuning", [None, 5000.0])
@pytest.mark.parametrize("alpha", [0.05, 0.0125])
def test_users_needed_are_those_of_the_plan_with_the_same_variance(tuning, alpha):
    se, n, effect = 0.12, 800, 0.3
    ours = midway(se, n, effect, alpha=alpha, sequential_tuning_n=tuning)
    plan = sample_size(0, effect, n * se**2 / 4, relative=False, alpha=alpha, sequential_tuning_n=tuning)
    assert abs(ours.users_needed - plan) <= 2  # the plan rounds up a variant at a time


def test_with_the_users_needed_and_with_the_detectable_effect_the_power_is_the_one_wanted():
    se, n, effect = 0.12, 800, 0.3
    for tuning in (None, 5000.0):
        needed = float(midway(se, n, effect, sequential_tuning_n=tuning).users_needed)
        then = midway(se * np.sqrt(n / needed), needed, effect, sequential_tuning_n=tuning)
        assert then.power == pytest.approx(0.8, abs=1e-3)
        detectable = float(midway(se, n, np.nan, sequential_tuning_n=tuning).detectable_effect)
        assert midway(se, n, detectable, sequential_tuning_n=tuning).power == pytest.approx(0.8, rel=1e-9)


def test_the_power_of_a_sequence_is_the_share_of_results_whose_sequence_leaves_out_no_effect():
    se, n, effect = 0.1, 4000, 0.35
    estimates = effect + se * stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    found = confidence_sequence(estimates, np.full(20_000, se), n)
    share = np.mean((found.low > 0) | (found.high < 0))
    assert midway(se, n, effect, sequential_tuning_n=5000.0).power == pytest.approx(share, abs=1e-3)


def test_what_is_unknown_is_nan_and_an_effect_of_nothing_needs_users_without_end():
    for tuning in (None, 5000.0):
        ours = midway(
            [0.1, 0.1, 0.0, np.nan], [100, 100, 100, 100], [np.nan, 0.0, 0.1, 0.1], sequential_tuning_n=tuning
        )
        assert np.isnan(ours.power).tolist() == [True, False, True, True]
        assert np.isnan(ours.detectable_effect).tolist() == [False, False, True, True]
        assert ours.users_needed[1] == np.inf
        assert np.isnan(ours.users_needed[[0, 2, 3]]).all()
