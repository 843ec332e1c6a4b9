"""What every test run has in common: no settings of a running stack leak in, an interrupted run ends its stack."""

import os
import signal
import time
from types import FrameType

import pytest

from tests.fix_stack import (
    SETTINGS_OF_A_STACK,
    _shared,
    connect_stack,
    empty_stack,
    end_stacks_of_killed_runs,
    stack,
    storage_stack,
)

__all__ = ["_shared", "connect_stack", "empty_stack", "stack", "storage_stack"]

# A test may never reach a demo that runs, nor servers that the developer's shell points at.
for _name in [name for name in os.environ if name.startswith(SETTINGS_OF_A_STACK)]:
    del os.environ[_name]

# Nothing may depend on the machine's own time: the tests and their stack live far from UTC and off the full hour.
os.environ["TZ"] = "America/St_Johns"
time.tzset()


def _end_as_if_interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(f"signal {number}")


# pytest ends its fixtures, and so the stack, after Ctrl-C but not after a plain kill or a closed terminal.
for _signal in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_signal, _end_as_if_interrupted)
# In the background of a shell Ctrl-C is ignored, by what a test starts too, and Dagster takes SIGTERM for Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the two workers of `make test` one has all tests of the whole stack, the other takes the rest by modules.

    Tests of one stack may not be divided: some of them stop its parts. The longest group begins first.
    """
    items.sort(key=lambda item: _group(item) != "whole stack")
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Groups that xdist does not keep are seen only as a second stack and a run of twice the time."""
    if hasattr(session.config, "workerinput") and not all("@" in item.nodeid for item in session.items):
        raise pytest.UsageError("pytest-xdist does not keep the groups of tests: look at the versions of both")


def pytest_unconfigure(config: pytest.Config) -> None:
    """A worker of an interrupted run is killed before it could end its stack: done here, when all have ended."""
    if not hasattr(config, "workerinput"):
        end_stacks_of_killed_runs()


def _group(item: pytest.Item) -> str:
    fixtures = getattr(item, "fixturenames", ())
    if "connect_stack" in fixtures or "stack" in fixtures:
        return "whole stack"
    return "storage stack" if "storage_stack" in fixtures else item.nodeid.partition("::")[0]
