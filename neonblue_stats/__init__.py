"""Statistics of experiments: arrays of sufficient statistics in, arrays of effects out. No I/O."""

from .effect import Effect, t_effect
from .errors import InvalidInput, StatisticsError
from .means import welch
from .moments import Moments
from .proportions import two_proportion_z
from .relative import relative_lift
from .sample_ratio import SampleRatio, sample_ratio

__all__ = [
    "Effect",
    "InvalidInput",
    "Moments",
    "SampleRatio",
    "StatisticsError",
    "relative_lift",
    "sample_ratio",
    "t_effect",
    "two_proportion_z",
    "welch",
]
