"""The platform as its users see it, on the shared stack."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.journey import Platform
from tests.fix_stack import Stack


@pytest.fixture(scope="session")
def platform(stack: Stack) -> Iterator[Platform]:
    platform = Platform(stack.settings)
    yield platform
    platform.api.close()
