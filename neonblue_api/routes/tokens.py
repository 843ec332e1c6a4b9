"""Tokens: made, listed, rotated and revoked. Only the hash is kept."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from neonblue_api import audit
from neonblue_api.access import Caller, ManageDep, new_token, token_hash
from neonblue_api.bodies import StrictRoute
from neonblue_api.errors import (
    DatabaseUnavailable,
    InvalidCursor,
    InvalidInput,
    MalformedJson,
    TokenEnded,
    TokenNotFound,
)
from neonblue_api.listing import CursorDep, LimitDep, one_page, read_cursor
from neonblue_api.models.fields import Page, utc_text
from neonblue_api.models.tokens import NewToken, Rotation, Token, TokenIn
from neonblue_api.replies import responses
from neonblue_api.state import DatabaseDep, RequestIdDep, TokensDep

router = APIRouter(prefix="/v1/tokens", tags=["tokens"], route_class=StrictRoute)
_COMMON = (InvalidInput, DatabaseUnavailable)
_COLUMNS = "token_id, replaces, name, scopes, created_at, expires_at, last_used_at, revoked_at"
_INSERT = text(f"""insert into api_tokens (name, token_sha256, scopes, expires_at)
                   values (:name, :digest, :scopes, :expires_at) returning {_COLUMNS}""")  # noqa: S608 - a constant
_PAGE = text(f"""select {_COLUMNS} from api_tokens
                 where cast(:after as bigint) is null or token_id > :after order by token_id limit :limit""")  # noqa: S608
_LOCKED = text(f"select {_COLUMNS} from api_tokens where token_id = :token_id for update")  # noqa: S608
_REVOKE = text(f"""
    update api_tokens set revoked_at = coalesce(revoked_at, now())
    where token_id = :token_id returning {_COLUMNS}""")  # noqa: S608
# A token that was made for some time is followed by one for the same time, up to the last moment that a reply can tell.
_REPLACE = text(f"""
    insert into api_tokens (name, token_sha256, scopes, expires_at, replaces)
    select name, :digest, scopes,
           coalesce(cast(:expires_at as timestamptz),
                    case when expires_at is not null then  -- least() passes null over
                        least(now() + (expires_at - created_at), timestamptz '9999-12-31 23:59:59.999999+00')
                    end), token_id
    from api_tokens where token_id = :token_id returning {_COLUMNS}""")  # noqa: S608
_END = text(f"""
    update api_tokens set expires_at = least(expires_at, now() + make_interval(secs => :overlap_s))
    where token_id = :token_id returning {_COLUMNS}""")  # noqa: S608
TokenId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.post("", status_code=201, responses=responses(*_COMMON, MalformedJson))
async def create_token(new: TokenIn, caller: ManageDep, database: DatabaseDep, request_id: RequestIdDep) -> NewToken:
    """Make a token. The reply is the only place where it is ever shown."""
    secret = new_token()

    async def work(connection: AsyncConnection) -> dict[str, Any]:
        values = {
            "name": new.name,
            "digest": token_hash(secret),
            "scopes": sorted(set(new.scopes)),
            "expires_at": new.expires_at,
        }
        row = (await connection.execute(_INSERT, values)).mappings().one()
        await _record(connection, caller, request_id, "create", None, Token(**row))
        return dict(row)

    return NewToken(token=secret, **await database.transact(work))


@router.get("", responses=responses(*_COMMON, InvalidCursor))
async def list_tokens(
    _: ManageDep, database: DatabaseDep, limit: LimitDep = 100, cursor: CursorDep = None
) -> Page[Token]:
    """Every token there ever was, without its secret."""
    place = read_cursor(cursor, int)

    async def work(connection: AsyncConnection) -> list[Token]:
        rows = await connection.execute(_PAGE, {"after": place[0] if place else None, "limit": limit + 1})
        return [Token(**row) for row in rows.mappings()]

    found = await database.transact(work)
    items, following = one_page(found, limit, lambda last: (last.token_id,))
    return Page(items=items, next_cursor=following)


@router.post(
    "/{token_id}/rotate", status_code=201, responses=responses(*_COMMON, MalformedJson, TokenNotFound, TokenEnded)
)
async def rotate_token(
    token_id: TokenId,
    wanted: Rotation,
    caller: ManageDep,
    database: DatabaseDep,
    tokens: TokensDep,
    request_id: RequestIdDep,
) -> NewToken:
    """Make the token that takes this one's place, with its name and scopes. Both work for overlap_s seconds.

    The new one is valid as long as the old one was meant to be, unless expires_at says otherwise.
    """
    secret = new_token()

    async def work(connection: AsyncConnection) -> dict[str, Any]:
        before = await _locked(connection, token_id)
        ended = before.revoked_at or (before.expires_at if before.expires_at and before.expires_at <= _now() else None)
        if ended is not None:
            raise TokenEnded(f"token {token_id} ended at {utc_text(ended)}")
        values = {"token_id": token_id, "digest": token_hash(secret), "expires_at": wanted.expires_at}
        made = (await connection.execute(_REPLACE, values)).mappings().one()
        old = await connection.execute(_END, {"token_id": token_id, "overlap_s": wanted.overlap_s})
        await _record(connection, caller, request_id, "create", None, Token(**made))
        await _record(connection, caller, request_id, "rotate", before, Token(**old.mappings().one()))
        return dict(made)

    made = await database.transact(work)
    tokens.forget()
    return NewToken(token=secret, **made)


@router.delete("/{token_id}", status_code=204, responses=responses(*_COMMON, TokenNotFound))
async def revoke_token(
    token_id: TokenId,
    caller: ManageDep,
    database: DatabaseDep,
    tokens: TokensDep,
    request_id: RequestIdDep,
) -> None:
    """Revoke a token: at once here, on other processes within NEONBLUE_TOKEN_CACHE seconds."""

    async def work(connection: AsyncConnection) -> None:
        before = await _locked(connection, token_id)
        after = (await connection.execute(_REVOKE, {"token_id": token_id})).mappings().one()
        await _record(connection, caller, request_id, "revoke", before, Token(**after))

    await database.transact(work)
    tokens.forget()


async def _record(
    connection: AsyncConnection, by: Caller, request_id: str, action: str, before: Token | None, after: Token
) -> None:
    await audit.record(
        connection,
        by=by,
        request_id=request_id,
        kind="token",
        key=str(after.token_id),
        action=action,
        before=before,
        after=after,
    )


async def _locked(connection: AsyncConnection, token_id: int) -> Token:
    row = (await connection.execute(_LOCKED, {"token_id": token_id})).mappings().first()
    if row is None:
        raise TokenNotFound(f"token {token_id} does not exist")
    return Token(**row)


def _now() -> datetime:
    return datetime.now(UTC)
