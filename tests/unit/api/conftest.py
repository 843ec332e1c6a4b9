"""What one process keeps goes by a clock of the test's."""

import pytest

from neonblue_api import known, sessions


class _Clock:
    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = _Clock()
    for module in (known, sessions):
        monkeypatch.setattr(module, "time", made)
    return made
