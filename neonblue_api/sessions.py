"""Sessions that the server keeps for clients that send none: an event gets the session in which its user is.

Off unless NEONBLUE_SESSION_GAP says how much silence ends a session. A session that a client names becomes its user's;
an event that happened longer ago than the gap belongs to no session that runs, and gets none. With Redis all processes
share the sessions, without it each has its own. Users' ids are kept as digests.
"""

import time
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from uuid import uuid4

from redis.asyncio import Redis

from neonblue_api.event_input import EventRow
from neonblue_api.redis_link import PREFIX, Gathered, RedisLink, ask_or_none
from neonblue_api.settings import Settings

_MOST_USERS = 1_000  # of one request; a batch with more is no live traffic, and its sessions are this process's own
_MOST_KEPT = 100_000

# The user's digest, and the session that a client named.
_Question = tuple[bytes, str | None]


class Sessions:
    """The running session of each user; `gap` in seconds."""

    def __init__(self, settings: Settings, link: RedisLink | None) -> None:
        self._gap = settings.session_gap
        self._own: dict[bytes, tuple[float, str]] = {}  # until, session; the one that was silent longest comes first
        self._shared = Gathered(link, self._ask) if link else None

    async def fill(self, rows: list[EventRow]) -> None:
        """Gives the rows without a session the one that runs, in their order."""
        if not self._gap:
            return
        # Times in rows have one form, in which the earlier text is the earlier time.
        earliest = f"{datetime.now(UTC) - timedelta(seconds=self._gap):%Y-%m-%dT%H:%M:%S.%fZ}"
        live = [row for row in rows if row.timestamp is None or row.timestamp >= earliest]
        if not live:
            return
        users: dict[bytes, str | None] = {}
        places = []
        for row in live:
            user = blake2b(row.user_id.encode(), digest_size=16).digest()
            places.append(user)
            if user not in users or row.session_id:
                users[user] = row.session_id
        running = await self._running(users)
        for row, user in zip(live, places, strict=True):
            if row.session_id is None:
                row.running_session = running[user]

    async def _running(self, users: dict[bytes, str | None]) -> dict[bytes, str]:
        questions = list(users.items())
        shared: list[str] | None = None
        if len(questions) <= _MOST_USERS:
            shared = await ask_or_none(self._shared, questions)
        if shared is None:
            shared = [self._own_session(user, named) for user, named in questions]
        else:
            for (user, _), session in zip(questions, shared, strict=True):
                self._keep(user, session)  # what goes on if Redis goes away
        return {user: session for (user, _), session in zip(questions, shared, strict=True)}

    def _own_session(self, user: bytes, named: str | None) -> str:
        until, session = self._own.get(user, (0.0, ""))
        if named or time.monotonic() >= until:
            session = named or _new()
        self._keep(user, session)
        return session

    def _keep(self, user: bytes, session: str) -> None:
        now = time.monotonic()
        self._own.pop(user, None)
        while self._own:
            longest = next(iter(self._own))
            if len(self._own) < _MOST_KEPT and self._own[longest][0] > now:
                break
            del self._own[longest]
        self._own[user] = (now + self._gap, session)

    async def _ask(self, client: Redis, requests: list[list[_Question]]) -> list[list[str]]:
        """All in one round trip: a session that was named is kept, else the running one goes on or a new one begins."""
        milliseconds = int(self._gap * 1000)
        async with client.pipeline(transaction=False) as pipeline:
            for questions in requests:
                for user, named in questions:
                    name = f"{PREFIX}session:{user.hex()}"
                    pipeline.set(name, named or _new(), px=milliseconds, nx=named is None)
                    pipeline.getex(name, px=milliseconds)
            answers = iter((await pipeline.execute())[1::2])
        return [[next(answers).decode() for _ in questions] for questions in requests]


def _new() -> str:
    """Tells by its beginning that no client made it."""
    return f"nb-{uuid4()}"
