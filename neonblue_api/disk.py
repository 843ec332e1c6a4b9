"""Whether PostgreSQL's disk has room: asked of PostgreSQL itself at most once a second, wherever it runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg

from neonblue_api.errors import DatabaseUnavailable, DiskNearlyFull

logger = logging.getLogger(__name__)

_ASK_EVERY_S = 1.0
_TOO_OLD_S = 3.0
# Begun to refuse, it accepts again only with this much more, so that it does not change its mind every second.
_AGAIN = 1.1

Call = Callable[[Callable[[psycopg.AsyncConnection[Any]], Awaitable[int | None]]], Awaitable[int | None]]


class Disk:
    """Refuses facts while fewer than `least` bytes are free. Where the free space is not known, it refuses nothing."""

    def __init__(self, call: Call, least: int) -> None:
        self._call = call
        self._least = least
        self._free: int | None = None
        self._refuses = False
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def demand_space(self) -> None:
        """Raises DiskNearlyFull. Waits for PostgreSQL's answer only if nobody asked within the last seconds."""
        if not self._least:
            return
        await self._look(_TOO_OLD_S)
        if self._refuses:
            raise DiskNearlyFull(f"PostgreSQL's disk has {self._free or 0:,} bytes free, {self._least:,} are kept free")

    async def state(self) -> dict[str, Any] | None:
        """For /readyz; None where the free space is not known, or no limit is set."""
        if self._least:
            await self._look(_ASK_EVERY_S)
        if self._free is None:
            return None
        return {"free_bytes": self._free, "kept_free_bytes": self._least, "facts_are_refused": self._refuses}

    async def _look(self, too_old_s: float) -> None:
        age = asyncio.get_running_loop().time() - self._asked_at
        if age > _ASK_EVERY_S and self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        if age > too_old_s and self._asking is not None:
            await asyncio.shield(self._asking)

    async def _ask(self) -> None:
        try:
            self._free = await self._call(_free_bytes)
        except DatabaseUnavailable:
            return  # the call that stores the facts tells it
        finally:
            self._asked_at = asyncio.get_running_loop().time()
            self._asking = None
        refuses = self._free is not None and self._free < self._least * (_AGAIN if self._refuses else 1)
        if refuses != self._refuses:
            logger.warning(
                "PostgreSQL's disk: %s bytes free; facts are %s", self._free, "refused" if refuses else "accepted"
            )
        self._refuses = refuses


async def _free_bytes(driver: psycopg.AsyncConnection[Any]) -> int | None:
    row = await (await driver.execute("select free_disk_bytes()")).fetchone()
    return row[0] if row else None
