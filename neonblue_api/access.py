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
from pydantic import SecretStr

from neonblue_api.database import Database
from neonblue_api.errors import Forbidden, Unauthorized
from neonblue_api.lockout import Lockout, client_address
from neonblue_api.settings import Settings

SCOPES = ("ingest", "read", "manage", "audit")
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
    token_id: int | None = None  # None: the bootstrap token, which is a setting


_OF_SETTINGS = Caller(_BOOTSTRAP, frozenset(SCOPES))


class Tokens:
    """Looks tokens up and remembers valid ones for the time that NEONBLUE_TOKEN_CACHE states."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._bootstrap = _hashes(settings.api_token, settings.api_token_before)
        self._of_metrics = _hashes(settings.metrics_token, settings.api_token)
        self._lockout = Lockout(settings)
        self._keep = settings.token_cache
        self._known: dict[bytes, tuple[float, Caller]] = {}
        self._forgotten = 0  # times

    async def caller(self, token: str, address: str) -> Caller:
        """Whose token it is, if one that comes from `address` is looked at. Raises Unauthorized, LockedOut."""
        digest = token_hash(token)
        self._lockout.demand_open(address, digest)
        caller = await self._find(digest)
        if caller is None:
            await self._lockout.guessed(address)
            raise Unauthorized("the token is not known")
        self._lockout.let_in(address, digest)
        return caller

    async def demand_metrics(self, token: str, address: str) -> None:
        """Raises Unauthorized, LockedOut for a token that does not open /metrics. Never asks PostgreSQL."""
        digest = token_hash(token)
        self._lockout.demand_open(address, digest)
        if not _is_one_of(digest, self._of_metrics):
            await self._lockout.guessed(address)
            raise Unauthorized("this route needs NEONBLUE_METRICS_TOKEN, or NEONBLUE_API_TOKEN, as bearer token")
        self._lockout.let_in(address, digest)

    async def _find(self, digest: bytes) -> Caller | None:
        if _is_one_of(digest, self._bootstrap):
            return _OF_SETTINGS
        now = time.monotonic()
        known = self._known.get(digest)
        if known is not None and known[0] > now:
            return known[1]
        self._known = {key: entry for key, entry in self._known.items() if entry[0] > now}
        forgotten = self._forgotten
        found = await self._look_up(digest)
        if found is None:
            return None
        caller, valid_for = found
        if forgotten == self._forgotten:  # else this may be what PostgreSQL said before a token was revoked
            self._known[digest] = (now + min(self._keep, valid_for), caller)
        return caller

    def forget(self) -> None:
        """After a token was revoked here: the next use asks PostgreSQL."""
        self._known.clear()
        self._forgotten += 1

    async def _look_up(self, digest: bytes) -> tuple[Caller, float] | None:
        """The caller, and for how many seconds its token is valid. Raises Unauthorized for one that ended."""

        async def find(driver: psycopg.AsyncConnection[Any]) -> tuple[Any, ...] | None:
            # The use is noted at most once a minute: reading with a token is not meant to write.
            cursor = await driver.execute(
                """with used as (
                       update api_tokens set last_used_at = now()
                       where token_sha256 = %(digest)s
                         and (last_used_at is null or last_used_at < now() - interval '1 minute')
                   )
                   select token_id, name, scopes, revoked_at is not null, coalesce(expires_at <= now(), false),
                          extract(epoch from expires_at - now())::float8
                   from api_tokens where token_sha256 = %(digest)s""",
                {"digest": digest},
            )
            return await cursor.fetchone()

        row = await self._database.call(find)
        if row is None:
            return None
        token_id, name, scopes, revoked, expired, valid_for = row
        if revoked or expired:
            raise Unauthorized(f"the token {name!r} is {'revoked' if revoked else 'expired'}")
        return Caller(name, frozenset(scopes), token_id), math.inf if valid_for is None else valid_for


def _hashes(*tokens: SecretStr | None) -> list[bytes]:
    return [token_hash(token.get_secret_value()) for token in tokens if token is not None]


def _is_one_of(digest: bytes, known: list[bytes]) -> bool:
    return any(hmac.compare_digest(digest, one) for one in known)


def _sent(request: Request) -> tuple[str, str]:
    """The token that the request carries, and the address that it comes from. Raises Unauthorized."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("the request has no Authorization: Bearer header")
    return token.strip(), client_address(request.client.host if request.client else None)


async def authorize(request: Request, scope: str) -> Caller:
    """The caller, if its token has the scope. Raises Unauthorized, LockedOut, Forbidden, RateLimited."""
    tokens: Tokens = request.app.state.tokens
    caller = await tokens.caller(*_sent(request))
    if scope not in caller.scopes:
        raise Forbidden(
            f"the token {caller.name!r} has {', '.join(sorted(caller.scopes)) or 'no scope'}; this needs {scope}"
        )
    await request.app.state.rate_limits.check(request, caller.token_id)
    return caller


async def authorize_metrics(request: Request) -> None:
    """Raises Unauthorized, LockedOut."""
    tokens: Tokens = request.app.state.tokens
    await tokens.demand_metrics(*_sent(request))


@dataclass(frozen=True, slots=True)
class Needs:
    """The dependency of a route on a scope."""

    scope: str

    async def __call__(self, request: Request) -> Caller:
        return await authorize(request, self.scope)


IngestDep = Annotated[Caller, Depends(Needs("ingest"))]
ReadDep = Annotated[Caller, Depends(Needs("read"))]
ManageDep = Annotated[Caller, Depends(Needs("manage"))]
AuditDep = Annotated[Caller, Depends(Needs("audit"))]
