"""Users: what an application tells about the people it assigns."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Request
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from neonblue_api.access import Caller, IngestDep, ReadDep
from neonblue_api.bodies import JSON, media_type, read_body
from neonblue_api.documentation import body_of, reply_of
from neonblue_api.errors import (
    BodyTimeout,
    BodyTooLarge,
    DatabaseUnavailable,
    InvalidCursor,
    InvalidInput,
    KeyTaken,
    MalformedCompression,
    MalformedJson,
    PreconditionFailed,
    UnsupportedMediaType,
    UserErased,
    UserNotFound,
)
from neonblue_api.fact_input import refusal_of
from neonblue_api.input_rules import FieldError
from neonblue_api.listing import CursorDep, IfMatchDep, LimitDep, check_match, etag, one_page, read_cursor
from neonblue_api.replies import json_reply, responses
from neonblue_api.state import DatabaseDep, PseudonymDep, SettingsDep, UserReaderDep

router = APIRouter(prefix="/v1/users", tags=["users"])
UserIdPath = Annotated[str, Path(min_length=1, max_length=256)]
_COMMON = (InvalidInput, DatabaseUnavailable)
_BODY_ERRORS = (MalformedJson, BodyTimeout, BodyTooLarge, UnsupportedMediaType, MalformedCompression)
_COLUMNS = """user_id, attributes::text as attributes, utc_text(created_at) as created_at,
              utc_text(updated_at) as updated_at,
              (extract(epoch from updated_at) * 1000000)::bigint as revision"""
_ONE = text(f"select {_COLUMNS} from users where user_id = :user_id")  # noqa: S608 - a constant
_PAGE = text(f"""select {_COLUMNS} from users
                 where cast(:after as text) is null or user_id > :after order by user_id limit :limit""")  # noqa: S608
_INSERT = text("""
    insert into users (user_id, attributes) values (:user_id, cast(:attributes as jsonb))
    on conflict do nothing returning user_id""")
_ERASED = text("select is_erased(:user_id)")
_SAME = text("select attributes = cast(:attributes as jsonb) from users where user_id = :user_id")
# An erasure waits for writers at work: none of them can bring back somebody whose rows it has just deleted.
_BEGIN = text("select begin_intake()")
_LOCK = text("select 1 from users where user_id = :user_id for update")
_UPDATE = text("""
    update users set updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond'),
           attributes = (attributes || cast(:given as jsonb))
                        - array(select key from jsonb_each(cast(:given as jsonb)) where value = 'null')
    where user_id = :user_id""")


def _user(row: Any) -> dict[str, Any]:
    """A user as in replies; attributes are passed on as the text that PostgreSQL wrote."""
    fields = dict(row)
    fields.pop("revision")
    return fields | {"attributes": msgspec.Raw(fields["attributes"].encode())}


def _told(row: Any, caller: Caller) -> dict[str, Any]:
    """The user as a sender is told of it: who may not read learns no attributes."""
    user = _user(row)
    if "read" not in caller.scopes:
        del user["attributes"]
    return user


def _size(row: Any) -> int:
    """Bytes of the attributes, without the spaces that PostgreSQL writes between them."""
    return len(msgspec.json.format(row["attributes"].encode(), indent=-1))


async def _get(connection: AsyncConnection, user_id: str) -> Any:
    row = (await connection.execute(_ONE, {"user_id": user_id})).mappings().first()
    if row is None:
        raise UserNotFound(f"user {user_id!r} is not known")
    return row


@router.post(
    "",
    status_code=201,
    response_class=Response,
    responses=reply_of(201, "UserStored")
    | reply_of(200, "UserStored")
    | responses(*_COMMON, *_BODY_ERRORS, KeyTaken, UserErased),
    openapi_extra=body_of({JSON: "UserIn"}),
)
async def create_user(
    request: Request,
    caller: IngestDep,
    settings: SettingsDep,
    reader: UserReaderDep,
    database: DatabaseDep,
    pseudonym: PseudonymDep,
) -> Response:
    """Tell about a user. The same user with the same attributes again is 200, with others 409.

    `attributes` stand in the reply to a token that may `read`.
    """
    media_type(request, (JSON,))
    user_id, attributes = reader.user(
        await read_body(request, settings.max_body, compressed=True, seconds=settings.body_timeout)
    )

    user_id = pseudonym(user_id)

    async def work(connection: AsyncConnection) -> tuple[bool, Any]:
        values = {"user_id": user_id, "attributes": attributes}
        await connection.execute(_BEGIN)
        if await connection.scalar(_ERASED, values):
            raise UserErased("the user was erased")
        created = await connection.scalar(_INSERT, values) is not None
        if not created and not await connection.scalar(_SAME, values):
            raise KeyTaken(f"user {user_id!r} exists with other attributes")
        return created, await _get(connection, user_id)

    created, row = await database.transact(work)
    return json_reply(_told(row, caller), 201 if created else 200, {"ETag": etag(row["revision"])})


@router.get("", response_class=Response, responses=reply_of(200, "UserPage") | responses(*_COMMON, InvalidCursor))
async def list_users(_: ReadDep, database: DatabaseDep, limit: LimitDep = 100, cursor: CursorDep = None) -> Response:
    """Users in the order of their ids."""
    place = read_cursor(cursor, str)

    async def work(connection: AsyncConnection) -> list[Any]:
        rows = await connection.execute(_PAGE, {"after": place[0] if place else None, "limit": limit + 1})
        return list(rows.mappings())

    rows = await database.transact(work)
    items, following = one_page(rows, limit, lambda last: (last["user_id"],))
    return json_reply({"items": [_user(row) for row in items], "next_cursor": following})


@router.get(
    "/{user_id:path}", response_class=Response, responses=reply_of(200, "User") | responses(*_COMMON, UserNotFound)
)
async def get_user(user_id: UserIdPath, _: ReadDep, database: DatabaseDep, pseudonym: PseudonymDep) -> Response:
    """One user; the ETag goes into If-Match of a change."""
    user_id = pseudonym(user_id)

    async def work(connection: AsyncConnection) -> Any:
        return await _get(connection, user_id)

    row = await database.transact(work)
    return json_reply(_user(row), 200, {"ETag": etag(row["revision"])})


@router.patch(
    "/{user_id:path}",
    response_class=Response,
    responses=reply_of(200, "UserStored") | responses(*_COMMON, *_BODY_ERRORS, UserNotFound, PreconditionFailed),
    openapi_extra=body_of({JSON: "UserChange"}),
)
async def change_user(
    user_id: UserIdPath,
    request: Request,
    caller: IngestDep,
    settings: SettingsDep,
    reader: UserReaderDep,
    database: DatabaseDep,
    pseudonym: PseudonymDep,
    if_match: IfMatchDep = None,
) -> Response:
    """Set attributes; one that is null is taken away, one that is left out stays.

    `attributes` stand in the reply to a token that may `read`.
    """
    user_id = pseudonym(user_id)
    media_type(request, (JSON,))
    given = reader.change(await read_body(request, settings.max_body, compressed=True, seconds=settings.body_timeout))

    async def work(connection: AsyncConnection) -> Any:
        await connection.execute(_LOCK, {"user_id": user_id})
        current = await _get(connection, user_id)
        check_match(if_match, current["revision"], f"user {user_id!r}")
        await connection.execute(_UPDATE, {"user_id": user_id, "given": given})
        changed = await _get(connection, user_id)
        size = _size(changed)
        if size > max(settings.max_properties, _size(current)):
            message = f"would have {size} bytes with those that stay; at most {settings.max_properties} are allowed"
            raise refusal_of(FieldError("attributes", message))
        return changed

    row = await database.transact(work)
    return json_reply(_told(row, caller), 200, {"ETag": etag(row["revision"])})
