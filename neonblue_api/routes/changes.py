"""Changes of definitions: what the audit log says of them, for everybody who reads results."""

from typing import Annotated, get_args

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from neonblue_api import audit
from neonblue_api.access import ReadDep
from neonblue_api.errors import DatabaseUnavailable, InvalidCursor, InvalidInput
from neonblue_api.listing import CursorDep, LimitDep, one_page, read_cursor
from neonblue_api.models.changes import Change, Changed
from neonblue_api.models.fields import Page
from neonblue_api.replies import responses
from neonblue_api.state import DatabaseDep

router = APIRouter(prefix="/v1/changes", tags=["changes"])


@router.get("", responses=responses(InvalidInput, InvalidCursor, DatabaseUnavailable))
async def list_changes(
    caller: ReadDep,
    database: DatabaseDep,
    object_type: Changed | None = None,
    object_key: Annotated[str | None, Query(min_length=1, max_length=400, examples=["checkout_button"])] = None,
    limit: LimitDep = 100,
    cursor: CursorDep = None,
) -> Page[Change]:
    """Who changed what and when, the latest first. Those of tokens are shown to tokens with the scope manage."""
    place = read_cursor(cursor, int)

    shown = {kind for kind in get_args(Changed) if kind != "token" or "manage" in caller.scopes}

    async def work(connection: AsyncConnection) -> list[Change]:
        entries = await audit.page(
            connection,
            subject_types=sorted(shown & {object_type} if object_type else shown),
            subject=object_key,
            with_blanked=False,
            below=place[0] if place else None,
            limit=limit + 1,
        )
        return [Change.of(entry) for entry in entries]

    found = await database.transact(work)
    items, following = one_page(found, limit, lambda last: (last.change_id,))
    return Page(items=items, next_cursor=following)
