"""Tokens: made, listed and revoked. Only the hash is kept."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from neonblue_api import changes
from neonblue_api.access import ManageDep, new_token, token_hash
from neonblue_api.bodies import StrictRoute
from neonblue_api.errors import DatabaseUnavailable, InvalidCursor, InvalidInput, MalformedJson, TokenNotFound
from neonblue_api.listing import CursorDep, LimitDep, cursor_of, read_cursor
from neonblue_api.models.fields import Page
from neonblue_api.models.tokens import NewToken, Token, TokenIn
from neonblue_api.replies import responses
from neonblue_api.state import DatabaseDep, RequestIdDep, TokensDep

router = APIRouter(prefix="/v1/tokens", tags=["tokens"], route_class=StrictRoute)
_COMMON = (InvalidInput, DatabaseUnavailable)
_COLUMNS = "token_id, name, scopes, created_at, expires_at, last_used_at, revoked_at"
_INSERT = text(f"""insert into api_tokens (name, token_sha256, scopes, expires_at)
                   values (:name, :digest, :scopes, :expires_at) returning {_COLUMNS}""")  # noqa: S608 - a constant
_PAGE = text(f"""select {_COLUMNS} from api_tokens
                 where cast(:after as bigint) is null or token_id > :after order by token_id limit :limit""")  # noqa: S608
_REVOKE = text("""
    update api_tokens set revoked_at = coalesce(revoked_at, now()) where token_id = :token_id returning name""")


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
        await changes.record(
            connection,
            by=caller.name,
            request_id=request_id,
            kind="token",
            key=str(row["token_id"]),
            action="create",
            after=Token(**row),
        )
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
    return Page(items=found[:limit], next_cursor=cursor_of(found[limit - 1].token_id) if len(found) > limit else None)


@router.delete("/{token_id}", status_code=204, responses=responses(*_COMMON, TokenNotFound))
async def revoke_token(
    token_id: Annotated[int, Path(ge=1, le=2**63 - 1)],
    caller: ManageDep,
    database: DatabaseDep,
    tokens: TokensDep,
    request_id: RequestIdDep,
) -> None:
    """Revoke a token: at once here, on other processes within NEONBLUE_TOKEN_CACHE seconds."""

    async def work(connection: AsyncConnection) -> None:
        name = await connection.scalar(_REVOKE, {"token_id": token_id})
        if name is None:
            raise TokenNotFound(f"token {token_id} does not exist")
        await changes.record(
            connection, by=caller.name, request_id=request_id, kind="token", key=str(token_id), action="revoke"
        )

    await database.transact(work)
    tokens.forget()
