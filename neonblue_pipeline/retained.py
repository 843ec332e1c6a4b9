"""What a run of retention dropped, and what it may not drop."""

from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True)
class Held:
    """Days past their time that could not be dropped: from which on, how many, their bytes, why, what to do."""

    table: str
    first: date
    days: int
    size: int
    since: date
    why: str
    cure: str

    def __str__(self) -> str:
        return (
            f"{self.table}: {self.days} days from {self.first} on ({self.size:,} bytes) should have been dropped since "
            f"{self.since} and are kept: {self.why}. {self.cure}"
        )


@dataclass
class Retained:
    """What one run dropped, by name, with the bytes that PostgreSQL has back; and what it may not drop."""

    dropped: list[str] = field(default_factory=list)
    bytes_freed: int = 0
    held: list[Held] = field(default_factory=list)
