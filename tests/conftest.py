"""What every test run has in common: settings, an end when interrupted, and which tests may run beside others."""

import os
import signal
from types import FrameType

import pytest

from tests.fix_stack import SETTINGS_OF_A_STACK, _shared, connect_stack, empty_stack, stack, storage_stack

__all__ = ["_shared", "connect_stack", "empty_stack", "stack", "storage_stack"]

# A test may never reach a demo that runs, nor servers that the developer's shell points at.
for _name in [name for name in os.environ if name.startswith(SETTINGS_OF_A_STACK)]:
    del os.environ[_name]


def _end_as_if_interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(f"signal {number}")


# pytest ends its fixtures, and so the stack, after Ctrl-C but not after a plain kill or a closed terminal.
for _signal in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_signal, _end_as_if_interrupted)


# With several workers (`make test`), tests that share a server stay on one of them, in their order.
_SHARED_SERVERS = {"_shared": "stack", "gateway": "gateway"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Names the group of every test that needs a shared server; those of the stack, by far the longest, begin first."""
    for item in items:
        for fixture, group in _SHARED_SERVERS.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(group))
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.get_closest_marker("xdist_group") != pytest.mark.xdist_group("stack").mark)
