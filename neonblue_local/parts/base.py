"""What every part of the stack answers: its ports, what it waits for, how it is started, asked and stopped."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from neonblue_local.home import Home

# As in nice(1), where processors are short: callers wait for the API and PostgreSQL, then readers for the stream, and
# nobody for a run of Dagster, which takes seconds of a core a minute.
BEHIND_REPLIES = 5
BEHIND_THE_STREAM = 10


class NotReady(Exception):
    """The part does not answer yet; the text says what was asked and what came."""


class Part(ABC):
    """One process of the stack under the supervisor."""

    name: ClassVar[str]
    what: ClassVar[str]
    ports: ClassVar[tuple[str, ...]]
    after: ClassVar[tuple[str, ...]] = ()
    stop_signal: ClassVar[str] = "TERM"
    stop_seconds: ClassVar[int] = 15
    # Whether the stop signal goes to the processes that it started, too.
    stop_group: ClassVar[bool] = False
    start_seconds: ClassVar[int] = 180
    # Whether it is of use only with tables, topics and connector in place.
    needs_setup: ClassVar[bool] = False
    niceness: ClassVar[int] = 0

    @abstractmethod
    def command(self, home: Home) -> list[str]:
        """Program and arguments. No secrets: every user of the machine can read a command line."""

    def environment(self, home: Home, settings: Mapping[str, str]) -> dict[str, str]:
        """What the process needs besides the settings of the stack, which every part gets."""
        return {}

    def prepare(self, home: Home, settings: Mapping[str, str]) -> None:
        """Write configuration, create data folders. Runs before every start, so it must be safe to repeat."""
        return

    @abstractmethod
    def probe(self, home: Home, settings: Mapping[str, str], since: float) -> None:
        """Ask the running part something that only a working one can answer; NotReady if it does not.

        `since` is the unix time at which its process started.
        """

    def answered(self, home: Home, settings: Mapping[str, str], since: float) -> None:
        """Called when a process that was just started has answered for the first time."""
        return

    def seconds_to_stop(self) -> int:
        """After the stop signal it has this long, then it is killed."""
        return self.stop_seconds

    def stopped(self, home: Home, *, cleanly: bool) -> None:
        """Called when the stack was stopped; `cleanly` is false if the process was killed or its end is unknown."""
        return

    def address(self, home: Home) -> str:
        return home.address(self.ports[0])
