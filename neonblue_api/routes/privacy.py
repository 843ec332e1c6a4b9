"""Exports and erasures: everything that is kept of a person, and the request to forget it.

The pipeline does the steps of an erasure (neonblue_pipeline/erasing); here it is asked for, and its state is read.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from fastapi import APIRouter, Path
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response, StreamingResponse

from neonblue_api import audit, export
from neonblue_api.access import ManageDep
from neonblue_api.bodies import NDJSON, StrictRoute
from neonblue_api.errors import (
    AnalyticsUnavailable,
    DatabaseUnavailable,
    ErasureNotFound,
    InvalidCursor,
    InvalidInput,
    MalformedJson,
    PrivacyKeyMissing,
)
from neonblue_api.listing import CursorDep, LimitDep, one_page, read_cursor
from neonblue_api.models.fields import Page
from neonblue_api.models.privacy import Erasure, ErasureStep, PersonIn
from neonblue_api.pseudonyms import is_ours
from neonblue_api.replies import responses
from neonblue_api.state import AnalyticsDep, DatabaseDep, PseudonymDep, RequestIdDep, SettingsDep

router = APIRouter(prefix="/v1/privacy", tags=["privacy"], route_class=StrictRoute)
_ERRORS = (InvalidInput, DatabaseUnavailable)
_REQUEST = text("select request_erasure(:user_id, :by, :request_id)")
_SELECT = """
    select e.erasure_id, e.requested_at, e.requested_by, e.finished_at,
           coalesce((select jsonb_agg(jsonb_build_object('step', s.step, 'done_at', utc_text(s.done_at))
                                      order by s.done_at)
                     from erasure_steps s where s.erasure_id = e.erasure_id), '[]') as steps
    from erasures e"""
_ONE = text(f"{_SELECT} where e.erasure_id = :erasure_id")
_PAGE = text(f"""{_SELECT} where cast(:below as bigint) is null or e.erasure_id < :below
                 order by e.erasure_id desc limit :limit""")
_LINES = {
    "type": "string",
    "examples": ['{"store":"postgresql users","row":{"user_id":"u1","attributes":{"country":"DE"}}}\n{"rows":1}\n'],
}
_EXPORTED: dict[int | str, dict[str, Any]] = {
    200: {"description": "A JSON object a line", "content": {NDJSON: {"schema": _LINES}}}
}
_encode = msgspec.json.Encoder().encode


@router.post(
    "/exports",
    response_class=Response,
    responses=_EXPORTED | responses(*_ERRORS, MalformedJson, AnalyticsUnavailable),
)
async def export_person(
    person: PersonIn,
    caller: ManageDep,
    database: DatabaseDep,
    analytics: AnalyticsDep,
    pseudonym: PseudonymDep,
    request_id: RequestIdDep,
) -> Response:
    """Everything that every store keeps of one person: a line `{"store": …, "row": {…}}` each, the last `{"rows": n}`.

    Without that last line the answer broke off: ask again. `landing` has every message about the person with its place
    in Kafka; the outbox and the topic hold the same.
    """
    pages = export.pages(database, analytics, pseudonym(person.user_id))
    first = await anext(pages)  # a server that is away is told as such, while the reply has not begun

    async def record(connection: AsyncConnection) -> None:
        await audit.record(
            connection, by=caller, request_id=request_id, kind="privacy", key=str(uuid4()), action="export"
        )

    await database.transact(record)

    async def lines() -> AsyncIterator[bytes]:
        count = len(first)
        yield _written(first)
        async for page in pages:
            count += len(page)
            yield _written(page)
        yield _encode({"rows": count}) + b"\n"

    return StreamingResponse(lines(), 200, media_type=NDJSON)


def _written(rows: list[export.Row]) -> bytes:
    return b"".join(_encode({"store": store, "row": msgspec.Raw(row.encode())}) + b"\n" for store, row in rows)


@router.post("/erasures", status_code=202, responses=responses(*_ERRORS, MalformedJson, PrivacyKeyMissing))
async def request_erasure(
    person: PersonIn,
    caller: ManageDep,
    settings: SettingsDep,
    database: DatabaseDep,
    pseudonym: PseudonymDep,
    request_id: RequestIdDep,
) -> Erasure:
    """Forget a person, in every store. From the reply on nothing more is stored; `finished_at` says when all is gone.

    The same person again is the same erasure.
    """
    if settings.privacy_key is None:
        raise PrivacyKeyMissing("NEONBLUE_PRIVACY_KEY is not set")
    if is_ours(person.user_id):
        raise InvalidInput("the user is a canary of NEONBLUE itself", rule="a person is erased; canaries are nobody")
    user_id = pseudonym(person.user_id)

    async def work(connection: AsyncConnection) -> Erasure:
        number = await connection.scalar(_REQUEST, {"user_id": user_id, "by": caller.name, "request_id": request_id})
        await audit.record(
            connection, by=caller, request_id=request_id, kind="privacy", key=str(number), action="erase"
        )
        return await _erasure(connection, number)

    return await database.transact(work)


@router.get("/erasures", responses=responses(*_ERRORS, InvalidCursor))
async def list_erasures(
    _: ManageDep, database: DatabaseDep, limit: LimitDep = 100, cursor: CursorDep = None
) -> Page[Erasure]:
    """Every erasure there ever was, the latest first."""
    place = read_cursor(cursor, int)

    async def work(connection: AsyncConnection) -> list[Erasure]:
        rows = await connection.execute(_PAGE, {"below": place[0] if place else None, "limit": limit + 1})
        return [_told(row) for row in rows.mappings()]

    found = await database.transact(work)
    items, following = one_page(found, limit, lambda last: (last.erasure_id,))
    return Page(items=items, next_cursor=following)


@router.get("/erasures/{erasure_id}", responses=responses(*_ERRORS, ErasureNotFound))
async def get_erasure(
    erasure_id: Annotated[int, Path(ge=1, le=2**63 - 1)], _: ManageDep, database: DatabaseDep
) -> Erasure:
    """How far an erasure is."""

    async def work(connection: AsyncConnection) -> Erasure:
        return await _erasure(connection, erasure_id)

    return await database.transact(work)


async def _erasure(connection: AsyncConnection, erasure_id: Any) -> Erasure:
    row = (await connection.execute(_ONE, {"erasure_id": erasure_id})).mappings().first()
    if row is None:
        raise ErasureNotFound(f"erasure {erasure_id} does not exist")
    return _told(row)


def _told(row: Any) -> Erasure:
    # The pool leaves JSON as the text that PostgreSQL wrote.
    return Erasure(**(dict(row) | {"steps": [ErasureStep(**step) for step in msgspec.json.decode(row["steps"])]}))
