"""How many requests a token may send to a route: a sliding window, counted in Redis by all processes together.

Without Redis, and while it is away, each process counts for itself: a token may then send up to the limit to each.
"""

import asyncio
import math
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis

from neonblue_api.errors import RateLimited
from neonblue_api.redis_link import PREFIX, Gathered, RedisLink, ask_or_none
from neonblue_api.settings import Settings, SettingsError

EVERY_OTHER = "*"
_Who = tuple[RateLimitItem, str, str]  # limit, number of the token, route


@dataclass
class _Left:
    """What became of hits: how many may pass, how many more may come, and in how many seconds the next one may."""

    passing: int
    remaining: int
    free_in: float


class RateLimits:
    """The limits of NEONBLUE_RATE_LIMITS. Raises SettingsError for a route that does not exist."""

    def __init__(self, settings: Settings, link: RedisLink | None, app: FastAPI) -> None:
        self._limits = {route: parse(rate) for route, rate in settings.rate_limits_by_route().items()}
        paths = app.openapi()["paths"] if self._limits else {}
        served = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
        if wrong := self._limits.keys() - served - {EVERY_OTHER}:
            raise SettingsError(
                f"NEONBLUE_RATE_LIMITS: {min(wrong)!r} is not a route of this API; write it as /docs shows it, "
                "as in POST /v1/experiments/{key}/assignments"
            )
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: Gathered[_Who, _Left] | None = None
        if link is not None and self._limits:
            storage = RedisStorage(
                "async+redis://shared:6379",  # the pool knows the address
                implementation="redispy",
                key_prefix=f"{PREFIX}rate",
                connection_pool=link.client.connection_pool,  # type: ignore[arg-type]
            )
            self._in_redis = SlidingWindowCounterRateLimiter(storage)
            self._shared = Gathered(link, self._count)

    async def check(self, request: Request, token_id: int | None) -> None:
        """Counts the request of this token, None for that of the settings, once.

        Raises RateLimited. The reply carries what is left.
        """
        if not self._limits or "rate_limit" in request.scope["state"]:
            return
        # Of the direct paths, which the framework does not look for, the path is the template.
        matched = request.scope.get("fastapi", {}).get("effective_route_context")
        route = f"{request.method} {matched.path_format if matched else request.scope['path']}"
        limit = self._limits.get(route) or self._limits.get(EVERY_OTHER)
        if limit is None:
            return
        token = str(token_id)
        left: _Left | None = await ask_or_none(self._shared, (limit, token, route))
        if left is None:
            left = await _hit(self._own, (limit, token, route), 1)
        seconds = max(1, math.ceil(left.free_in))
        request.scope["state"]["rate_limit"] = [
            (b"ratelimit-policy", f'"default";q={limit.amount};w={limit.get_expiry()}'.encode()),
            (b"ratelimit", f'"default";r={left.remaining};t={seconds}'.encode()),
        ]
        if not left.passing:
            raise RateLimited(f"{route}: the limit of this token is {_words(limit)}", retry_after=seconds)

    async def _count(self, _: Redis, hits: list[_Who]) -> list[_Left]:
        """Hits of one token on one route that came together are counted together; the first ones pass."""
        counted = Counter(hits)
        left = dict(
            zip(counted, await asyncio.gather(*(_hit(self._in_redis, *one) for one in counted.items())), strict=True)
        )
        answers = []
        for hit in hits:
            found = left[hit]
            answers.append(_Left(min(1, found.passing), found.remaining, found.free_in))
            found.passing = max(0, found.passing - 1)
        return answers


async def _hit(limiter: SlidingWindowCounterRateLimiter, who: _Who, hits: int) -> _Left:
    limit, token, route = who
    passing = hits if await limiter.hit(limit, token, route, cost=hits) else 0
    stats = await limiter.get_window_stats(limit, token, route)
    if not passing and (some := min(hits - 1, stats.remaining)) and await limiter.hit(limit, token, route, cost=some):
        passing = some
        stats = await limiter.get_window_stats(limit, token, route)
    return _Left(passing, stats.remaining, stats.reset_time - time.time())


def _words(limit: RateLimitItem) -> str:
    every: Any = limit.get_expiry()
    return f"{limit.amount} requests in {every} s" if every != 1 else f"{limit.amount} requests a second"
