"""What can be wrong with the input of a statistical function, as types.

StatisticsError            base of everything this package raises
└── InvalidInput           an argument that no data can produce, or that a method does not take
"""

from __future__ import annotations


class StatisticsError(Exception):
    """Base of all errors of neonblue_stats."""


class InvalidInput(StatisticsError, ValueError):
    """An argument is outside its rule. `field` names the argument."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def check_rate(field: str, value: float) -> float:
    """A probability strictly between 0 and 1, else InvalidInput."""
    if not 0.0 < value < 1.0:
        raise InvalidInput(field, f"found {value}; must be above 0 and below 1")
    return value
