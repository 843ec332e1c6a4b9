"""Who may do what: bearer tokens, known only by their SHA-256, and the scopes of the routes."""

import hashlib
import hmac
import math
import secrets
import time
from dataclasses import dataclass
from typing import Annotated, Any

import psycopg
from fastapi import Depends, Request

from neonblue_api.database import Database
from neonblue_api.errors import Forbidden, Unauthorized
from neonblue_api.settings import Settings

SCOPES = ("ingest", "read", "manage")
_BOOTSTRAP = "bootstrap"


def new_token() -> str:
    """A secret of 256 bits; its beginning tells what it is wherever it turns up."""
    return "nb_" + secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


@dataclass(frozen=True, slots=True)
class Caller:
    """The token behind a request."""

    name: str
    scopes: frozenset[str]


class Tokens:
    """Looks tokens up and remembers valid ones for the time that NEONBLUE_TOKEN_CACHE states."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._bootstrap = token_hash(settings.api_token.get_secret_value())
        self._keep = settings.token_cache
        self._known: dict[bytes, tuple[float, Caller]] = {}

    async def caller(self, token: str) -> Caller:
        """Raises Unauthorized."""
        digest = token_hash(token)
        if hmac.compare_digest(digest, self._bootstrap):
            return Caller(_BOOTSTRAP, frozenset(SCOPES))
        now = time.monotonic()
        known = self._known.get(digest)
        if known is not None and known[0] > now:
            return known[1]
        self._known = {key: entry for key, entry in self._known.items() if entry[0] > now}
        caller, valid_for = await self._look_up(digest)
        self._known[digest] = (now + min(self._keep, valid_for), caller)
        return caller

    def forget(self) -> None:
        """After a token was revoked here: the next use asks PostgreSQL."""
        self._known.clear()

    async def _look_up(self, digest: bytes) -> tuple[Caller, float]:
        """The caller, and for how many seconds its token is valid."""

        async def find(driver: psycopg.AsyncConnection[Any]) -> tuple[Any, ...] | None:
            # The use is noted at most once a minute: reading with a token is not meant to write.
            cursor = await driver.execute(
                """with used as (
                       update api_tokens set last_used_at = now()
                       where token_sha256 = %(digest)s
                         and (last_used_at is null or last_used_at < now() - interval '1 minute')
                   )
                   select name, scopes, revoked_at is not null, coalesce(expires_at <= now(), false),
                          extract(epoch from expires_at - now())::float8
                   from api_tokens where token_sha256 = %(digest)s""",
                {"digest": digest},
            )
            return await cursor.fetchone()

        row = await self._database.call(find)
        if row is None:
            raise Unauthorized("the token is not known")
        name, scopes, revoked, expired, valid_for = row
        if revoked or expired:
            raise Unauthorized(f"the token {name!r} is {'revoked' if revoked else 'expired'}")
        return Caller(name, frozenset(scopes)), math.inf if valid_for is None else valid_for


async def authorize(request: Request, scope: str) -> Caller:
    """The caller, if its token has the scope. Raises Unauthorized, Forbidden, RateLimited."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("the request has no Authorization: Bearer header")
    tokens: Tokens = request.app.state.tokens
    caller = await tokens.caller(token.strip())
    if scope not in caller.scopes:
        raise Forbidden(
            f"the token {caller.name!r} has {', '.join(sorted(caller.scopes)) or 'no scope'}; this needs {scope}"
        )
    await request.app.state.rate_limits.check(request)
    return caller


@dataclass(frozen=True, slots=True)
class Needs:
    """The dependency of a route on a scope."""

    scope: str

    async def __call__(self, request: Request) -> Caller:
        return await authorize(request, self.scope)


IngestDep = Annotated[Caller, Depends(Needs("ingest"))]
ReadDep = Annotated[Caller, Depends(Needs("read"))]
ManageDep = Annotated[Caller, Depends(Needs("manage"))]
