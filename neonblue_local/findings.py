"""What an examination tells: one thing that was looked at."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`problem` is null where all is well, and otherwise ends with the way out."""

    subject: str
    found: str
    problem: str | None = None
