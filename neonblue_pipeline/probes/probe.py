"""What a probe is, and what it tells."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from neonblue_pipeline.figures import Figure
from neonblue_pipeline.settings import Settings

# For a connection, and for an answer.
PATIENCE_S = 5
COMMENT = "neonblue_pipeline probes"


@dataclass(frozen=True)
class Finding:
    """One trouble: `key` is the same at every look, `how_bad` is what was measured now.

    What stands behind a colon in the key is the one of many things that is in trouble, as an experiment.
    """

    key: str
    what: str
    how_bad: str
    cure: str
    serious: bool = True


@dataclass
class Positions:
    """Where each hop was, and since when it has not moved (unix time); what a caller keeps between two looks."""

    known: dict[str, list[Any]] = field(default_factory=dict)

    def still_s(self, hop: str, position: str, now: float) -> float:
        """For how many seconds the hop has been at this position."""
        if self.known.get(hop, [None])[0] != position:
            self.known[hop] = [position, now]
        return now - float(self.known[hop][1])


@dataclass(frozen=True)
class Probe:
    """A look at one hop; `check` is the name of its asset check on `asset`, `server` who is asked.

    `finds` are the keys of all that it may find, without what stands behind a colon.
    """

    check: str
    asset: str
    server: str
    look: Callable[[Settings, Positions], "Told"]
    finds: tuple[str, ...]


Told = list[Finding | Figure]


@dataclass(frozen=True)
class Seen:
    """What one probe found; `answered` is false if it could not look."""

    probe: Probe
    findings: list[Finding]
    answered: bool
    figures: list[Figure] = field(default_factory=list)


def unix(moment: datetime | None) -> float:
    """Unix time; 0 where there was nothing yet."""
    return moment.timestamp() if moment else 0.0
