"""Statistics of experiments: arrays of sufficient statistics in, arrays of effects out. No I/O.

scipy.stats, scipy.optimize and scipy.interpolate are named in full where they are used: scipy imports each with its
first use, which spares most processes a second.
"""

from .anytime import confidence_sequence, lift_sequence, msprt, running
from .bayesian import Posterior, beta_binomial, gaussian_posterior
from .capping import capped, capped_moments, percentile_cap
from .cuped import Cuped, cuped
from .decision import Decision, MetricResult, Trust, decide
from .effect import Effect, t_effect
from .errors import InvalidInput, StatisticsError
from .exact import ExactResult, exact_p_value, exact_proportions, needs_exact
from .fieller import Contrast, FiellerInterval, fieller
from .funnels import FunnelStep, funnel, observed_long_enough, within_window
from .group_sequential import Boundaries, boundaries, group_sequential, spent_alpha
from .joint import JointMoments
from .means import mean_difference, welch
from .midway import Midway, midway
from .moments import Moments
from .multiplicity import adjust, interval_alpha
from .planning import days_left, minimum_detectable_effect, power, power_so_far, sample_size
from .proportions import two_proportion_z
from .quantiles import Quantile, cluster_factor, interval_levels, quantile_effect
from .ratios import ratio_difference, ratio_lift, ratio_moments
from .relative import relative_lift
from .sample_ratio import SampleRatio, sample_ratio
from .sample_ratio_exact import (
    sample_ratio_anytime,
    sample_ratio_auto,
    sample_ratio_by_dimension,
    sample_ratio_exact,
)
from .sample_ratio_phases import sample_ratio_phases, sample_ratio_phases_anytime
from .small_counts import SmallCounts, score_interval, small_counts
from .stratification import PostStratified, Segments, by_segment, intervals_at, post_stratify
from .trust import aa_calibration, crossed_users, non_inferiority, pre_period_imbalance, same_share

__all__ = [
    "Boundaries",
    "Contrast",
    "Cuped",
    "Decision",
    "Effect",
    "ExactResult",
    "FiellerInterval",
    "FunnelStep",
    "InvalidInput",
    "JointMoments",
    "MetricResult",
    "Midway",
    "Moments",
    "PostStratified",
    "Posterior",
    "Quantile",
    "SampleRatio",
    "Segments",
    "SmallCounts",
    "StatisticsError",
    "Trust",
    "aa_calibration",
    "adjust",
    "beta_binomial",
    "boundaries",
    "by_segment",
    "capped",
    "capped_moments",
    "cluster_factor",
    "confidence_sequence",
    "crossed_users",
    "cuped",
    "days_left",
    "decide",
    "exact_p_value",
    "exact_proportions",
    "fieller",
    "funnel",
    "gaussian_posterior",
    "group_sequential",
    "interval_alpha",
    "interval_levels",
    "intervals_at",
    "lift_sequence",
    "mean_difference",
    "midway",
    "minimum_detectable_effect",
    "msprt",
    "needs_exact",
    "non_inferiority",
    "observed_long_enough",
    "percentile_cap",
    "post_stratify",
    "power",
    "power_so_far",
    "pre_period_imbalance",
    "quantile_effect",
    "ratio_difference",
    "ratio_lift",
    "ratio_moments",
    "relative_lift",
    "running",
    "same_share",
    "sample_ratio",
    "sample_ratio_anytime",
    "sample_ratio_auto",
    "sample_ratio_by_dimension",
    "sample_ratio_exact",
    "sample_ratio_phases",
    "sample_ratio_phases_anytime",
    "sample_size",
    "score_interval",
    "small_counts",
    "spent_alpha",
    "t_effect",
    "two_proportion_z",
    "welch",
    "within_window",
]
