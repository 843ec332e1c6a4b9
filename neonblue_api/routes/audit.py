"""The audit log: read only, written by the routes and commands that change something."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from neonblue_api import audit
from neonblue_api.access import AuditDep
from neonblue_api.errors import DatabaseUnavailable, InvalidCursor, InvalidInput
from neonblue_api.listing import CursorDep, LimitDep, one_page, read_cursor
from neonblue_api.models.audit import AuditEntry
from neonblue_api.models.fields import Page, UtcTime
from neonblue_api.replies import responses
from neonblue_api.state import DatabaseDep

router = APIRouter(prefix="/v1/audit", tags=["audit"])
_Word = Annotated[str | None, Query(min_length=1, max_length=400)]


@router.get("", responses=responses(InvalidInput, InvalidCursor, DatabaseUnavailable))
async def list_audit_entries(
    _: AuditDep,
    database: DatabaseDep,
    subject_type: Annotated[str | None, Query(min_length=1, max_length=400, examples=["experiment"])] = None,
    subject: Annotated[str | None, Query(min_length=1, max_length=400, examples=["checkout_button"])] = None,
    actor: _Word = None,
    action: _Word = None,
    request_id: _Word = None,
    since: Annotated[UtcTime | None, Query()] = None,
    until: Annotated[UtcTime | None, Query()] = None,
    limit: LimitDep = 100,
    cursor: CursorDep = None,
) -> Page[AuditEntry]:
    """Every change of a definition or a token, every export and erasure: who, when, before and after; the latest first.

    `neonblue audit verify` proves that none was altered, added or taken out behind the platform's back.
    """
    place = read_cursor(cursor, int)

    async def work(connection: AsyncConnection) -> list[AuditEntry]:
        return await audit.page(
            connection,
            subject_types=None if subject_type is None else [subject_type],
            subject=subject,
            actor=actor,
            action=action,
            request_id=request_id,
            since=since,
            until=until,
            below=place[0] if place else None,
            limit=limit + 1,
        )

    found = await database.transact(work)
    items, following = one_page(found, limit, lambda last: (last.number,))
    return Page(items=items, next_cursor=following)
