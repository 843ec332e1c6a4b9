"""The optional Redis: its client, a circuit that leaves a sick one alone, and questions that share a round trip.

Nothing that is in Redis alone is ever needed: who asks it has another answer for the case that it is away. A question
waits for the round trip that is under way and for its own, each at most the 12 ms of the settings; no request asks more
than two, and so waits 48 ms at most.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from neonblue_api.settings import Settings

Q = TypeVar("Q")
A = TypeVar("A")
logger = logging.getLogger(__name__)

PREFIX = "neonblue:1:"  # of every key; the number changes with the form of what is kept
_CONNECT_S = 1.0  # nobody waits for it: only the look after a trouble connects so patiently
_TICKS = 12
_MOST_WAITING = 10_000


class RedisAway(Exception):
    """Redis is not there, too slow, or left alone for a while; the text says why."""


class RedisLink:
    """Holds the connections. Begins as left alone, so that no request is the first to find out."""

    def __init__(self, settings: Settings) -> None:
        assert settings.redis_url is not None
        self.client: Redis = Redis.from_url(
            settings.redis_url.get_secret_value(),
            socket_connect_timeout=_CONNECT_S,
            retry=Retry(NoBackoff(), 1),  # a connection that Redis closed meanwhile is made anew at once
        )
        self._patience = settings.redis_timeout
        self._pause = settings.redis_pause
        self.answers = False
        self.trouble = "not asked yet"
        self.openings = 0  # how often it was left alone
        self.unanswered = 0  # questions that were under way then
        self._recovering: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Asks for the first time; an API begins whether it answers or not."""
        try:
            await self._greet()
        except RedisAway as away:
            self.leave_alone(str(away))

    async def close(self) -> None:
        self.answers, self.trouble = False, "the process ends"
        if self._recovering is not None:
            self._recovering.cancel()
        await self.client.aclose()

    def state(self) -> dict[str, Any]:
        """For people and health checks."""
        return {
            "answers": self.answers,
            "trouble": None if self.answers else self.trouble,
            "left_alone": self.openings,
            "unanswered": self.unanswered,
        }

    async def call(self, work: Callable[[Redis], Awaitable[A]]) -> A:
        """What `work` returns. Raises RedisAway within the patience of the settings, and leaves Redis alone then."""
        if not self.answers:
            raise RedisAway(self.trouble)
        try:
            return await self._in_time(work, self._patience)
        except RedisAway as away:
            self.leave_alone(str(away))
            raise

    async def _in_time(self, work: Callable[[Redis], Awaitable[A]], seconds: float) -> A:
        task = asyncio.ensure_future(work(self.client))
        for _ in range(_TICKS):
            # A tick that comes late counts as one: this process was busy, and Redis may have answered long ago.
            await asyncio.wait({task}, timeout=seconds / _TICKS)
            if task.done():
                break
        else:
            task.cancel()
            raise RedisAway(f"no answer within {seconds * 1000:g} ms")
        try:
            return task.result()
        except (RedisError, OSError) as error:
            # The client's messages name host and port, never a password.
            said = (str(error).splitlines() or ["no reason given"])[0]
            raise RedisAway(f"{type(error).__name__}: {said}") from error

    def leave_alone(self, reason: str) -> None:
        """Nobody asks it until it has answered a look of our own, the first after the pause of the settings."""
        if self._recovering is not None and not self._recovering.done():
            return
        self.answers = False
        self.openings += 1
        self.trouble = f"{reason} at {datetime.now(UTC):%H:%M:%SZ}"
        logger.warning("Redis (NEONBLUE_REDIS_URL): %s; the API goes on without it", reason)
        self._recovering = asyncio.get_running_loop().create_task(self._recover())

    async def _recover(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            try:
                await self._greet()
            except RedisAway as away:
                self.trouble = f"{away} at {datetime.now(UTC):%H:%M:%SZ}"
            else:
                logger.warning("Redis (NEONBLUE_REDIS_URL) answers again")
                return

    async def _greet(self) -> None:
        """Raises RedisAway unless it connects, and then answers as quickly as requests need it."""
        for seconds in (_CONNECT_S, self._patience):
            await self._in_time(lambda client: client.execute_command("PING"), seconds)
        self.answers = True


class Gathered(Generic[Q, A]):
    """Questions that come while a round trip is under way share the next one."""

    def __init__(self, link: RedisLink, answer: Callable[[Redis, list[Q]], Awaitable[list[A]]]) -> None:
        self._link = link
        self._answer = answer
        self._waiting: list[tuple[Q, asyncio.Future[A] | None]] = []
        self._draining: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        """Raises RedisAway."""
        if not self._link.answers:
            raise RedisAway(self._link.trouble)
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._put(question, future)
        return await future

    def tell(self, question: Q) -> None:
        """Sent without waiting for an answer, and not at all while Redis is away."""
        if self._link.answers and len(self._waiting) < _MOST_WAITING:
            self._put(question, None)

    def _put(self, question: Q, future: "asyncio.Future[A] | None") -> None:
        self._waiting.append((question, future))
        if self._draining is None or self._draining.done():
            self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def _asked(self, questions: list[Q], client: Redis) -> list[A]:
        return await self._answer(client, questions)

    async def _drain(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting, []
            taken = [(question, future) for question, future in taken if future is None or not future.done()]
            questions = [question for question, _ in taken]
            try:
                answers = await self._link.call(partial(self._asked, questions))
            except Exception as error:
                if not isinstance(error, RedisAway):  # a mistake of ours: nobody may wait for it for ever
                    logger.exception("a question to Redis failed")
                behind, self._waiting = self._waiting, []
                for _, future in (*taken, *behind):
                    if future is not None and not future.done():
                        self._link.unanswered += 1
                        future.set_exception(RedisAway(str(error)))
            else:
                for (_, future), answer in zip(taken, answers, strict=True):
                    if future is not None and not future.done():
                        future.set_result(answer)


async def ask_or_none(gathered: "Gathered[Q, Any] | None", question: Q) -> Any:
    """The answer, or None where there is no Redis or none that answers."""
    if gathered is None:
        return None
    try:
        return await gathered.ask(question)
    except RedisAway:
        return None
