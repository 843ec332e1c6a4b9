"""Lock-out of addresses that guess tokens: after so many unknown ones, an address is not asked about any further.

A client that was already let in from that address stays in: many share one address behind a proxy, and one of them with
a wrong token may not shut the others out. A revoked or expired token is no guess.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_network

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

from neonblue_api.errors import LockedOut
from neonblue_api.settings import Settings

logger = logging.getLogger(__name__)
_REMEMBERED = 100_000
_PATIENCE = 0.05  # seconds for a storage that other processes share


class Lockout:
    """Counts in NEONBLUE_LOCKOUT_STORAGE; while that does not answer, in this process."""

    def __init__(self, settings: Settings) -> None:
        self._guesses = settings.lockout_guesses
        self._allowed = RateLimitItemPerSecond(max(1, self._guesses), settings.lockout_window)
        url = settings.lockout_storage.get_secret_value()
        shared = storage_from_string(url, wrap_exceptions=True, implementation="redispy")
        self._shared = FixedWindowRateLimiter(shared)
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._locked: dict[str, float] = {}
        self._let_in: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def demand_open(self, address: str, digest: bytes) -> None:
        """Raises LockedOut for a token that was not let in from this address before."""
        until = self._locked.get(address) if self._locked else None
        if until is None or (address, digest) in self._let_in:
            return
        left = until - time.time()
        if left > 0:
            raise LockedOut(f"{address} sent too many unknown tokens", retry_after=int(left) + 1)
        del self._locked[address]

    def let_in(self, address: str, digest: bytes) -> None:
        """The token is valid."""
        if (address, digest) not in self._let_in:
            self._let_in[address, digest] = None
            if len(self._let_in) > _REMEMBERED:
                self._let_in.popitem(last=False)

    async def guessed(self, address: str) -> None:
        """The token is not known. Raises LockedOut from the first guess too many on."""
        if self._guesses == 0:
            return
        counting, within = await self._count(address)
        if within:
            return
        self._locked = {known: until for known, until in self._locked.items() if until > time.time()}
        self._locked[address] = (await counting.get_window_stats(self._allowed, "guesses", address)).reset_time
        logger.warning("%s is locked out: more than %d unknown tokens", address, self._guesses)
        self.demand_open(address, b"")

    async def _count(self, address: str) -> tuple[FixedWindowRateLimiter, bool]:
        try:
            async with asyncio.timeout(_PATIENCE):
                return self._shared, await self._shared.hit(self._allowed, "guesses", address)
        except (StorageError, TimeoutError) as error:
            logger.warning("NEONBLUE_LOCKOUT_STORAGE does not answer (%s): guesses count in this process alone", error)
            return self._own, await self._own.hit(self._allowed, "guesses", address)


def client_address(host: str | None) -> str:
    """Whom to lock out: an IPv4 address, or the /64 that an IPv6 client may choose its addresses from.

    What a proxy says of a client and is no address stands for itself.
    """
    if host is None:
        return "unix"
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    return str(address.ipv4_mapped or ip_network((address, 64), strict=False))
