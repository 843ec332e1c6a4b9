"""Changes of definitions: each in one transaction with the record of who made it and when."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import Depends, Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from neonblue_api.access import ManageDep
from neonblue_api.database import Database
from neonblue_api.listing import IfMatchDep, check_match, etag
from neonblue_api.models.changes import Change
from neonblue_api.state import DatabaseDep, RequestIdDep

_INSERT = text("""
    insert into changes (changed_by, request_id, object_type, object_key, action, before, after)
    values (:changed_by, :request_id, :object_type, :object_key, :action,
            cast(:before as jsonb), cast(:after as jsonb))""")
_PAGE = text("""
    select change_id, changed_at, changed_by, request_id, object_type, object_key, action,
           before::text as before, after::text as after
    from changes
    where (cast(:object_type as text) is null or object_type = :object_type)
      and (cast(:object_key as text) is null or object_key = :object_key)
      and (:with_tokens or object_type <> 'token')
      and (cast(:below as bigint) is null or change_id < :below)
    order by change_id desc limit :limit""")


class Shown(Protocol):
    """A reply."""

    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


class Definition(Shown, Protocol):
    """What has a key and versions: an experiment, a metric."""

    key: str
    revision: int


D = TypeVar("D", bound=Definition)
Get = Callable[[AsyncConnection, str], Awaitable[tuple[int, D]]]
Edit = Callable[[AsyncConnection, int, D], Awaitable[D]]


async def record(
    connection: AsyncConnection,
    *,
    by: str,
    request_id: str | None,
    kind: str,
    key: str,
    action: str,
    before: Shown | None = None,
    after: Shown | None = None,
) -> None:
    """Keeps what the object looked like in replies; None where it did not exist, or is told by the action alone."""
    await connection.execute(
        _INSERT,
        {
            "changed_by": by,
            "request_id": request_id,
            "object_type": kind,
            "object_key": key,
            "action": action,
            "before": None if before is None else json.dumps(before.model_dump(mode="json")),
            "after": None if after is None else json.dumps(after.model_dump(mode="json")),
        },
    )


async def page(
    connection: AsyncConnection,
    *,
    object_type: str | None,
    object_key: str | None,
    with_tokens: bool,
    below: int | None,
    limit: int,
) -> list[Change]:
    """The latest changes below the number `below`, the latest first."""
    values = {
        "object_type": object_type,
        "object_key": object_key,
        "with_tokens": with_tokens,
        "below": below,
        "limit": limit,
    }
    rows = (await connection.execute(_PAGE, values)).mappings()
    return [Change(**(dict(row) | {side: _read(row[side]) for side in ("before", "after")})) for row in rows]


def _read(text: str | None) -> dict[str, Any] | None:
    return None if text is None else json.loads(text)


@dataclass(slots=True)
class Editor:
    """Somebody who changes definitions of one kind by one request."""

    by: str
    request_id: str
    database: Database
    reply: Response
    if_match: str | None = None

    async def create(self, kind: str, make: Callable[[AsyncConnection], Awaitable[D]]) -> D:
        """What `make` made, recorded, with ETag and Location in the reply."""

        async def work(connection: AsyncConnection) -> D:
            made = await make(connection)
            await record(
                connection, by=self.by, request_id=self.request_id, kind=kind, key=made.key, action="create", after=made
            )
            return made

        made = await self.database.transact(work)
        self.reply.headers["ETag"] = etag(made.revision)
        self.reply.headers["Location"] = f"/v1/{kind}s/{made.key}"
        return made

    async def edit(self, kind: str, key: str, get_locked: Get[D], edit: Edit[D], action: str = "change") -> D:
        """What `edit` made of it, recorded, with its ETag in the reply. Raises PreconditionFailed."""

        async def work(connection: AsyncConnection) -> D:
            number, current = await self._held(connection, kind, key, get_locked)
            changed = await edit(connection, number, current)
            await record(
                connection,
                by=self.by,
                request_id=self.request_id,
                kind=kind,
                key=key,
                action=action,
                before=current,
                after=changed,
            )
            return changed

        changed = await self.database.transact(work)
        self.reply.headers["ETag"] = etag(changed.revision)
        return changed

    async def delete(
        self, kind: str, key: str, get_locked: Get[D], drop: Callable[[AsyncConnection, int, D], Awaitable[None]]
    ) -> None:
        """Runs `drop` and records it. Raises PreconditionFailed."""

        async def work(connection: AsyncConnection) -> None:
            number, current = await self._held(connection, kind, key, get_locked)
            await drop(connection, number, current)
            await record(
                connection, by=self.by, request_id=self.request_id, kind=kind, key=key, action="delete", before=current
            )

        await self.database.transact(work)

    async def _held(self, connection: AsyncConnection, kind: str, key: str, get_locked: Get[D]) -> tuple[int, D]:
        number, current = await get_locked(connection, key)
        check_match(self.if_match, current.revision, f"{kind} {key!r}")
        return number, current


def _creator(caller: ManageDep, request_id: RequestIdDep, database: DatabaseDep, reply: Response) -> Editor:
    return Editor(caller.name, request_id, database, reply)


def _editor(
    caller: ManageDep, request_id: RequestIdDep, database: DatabaseDep, reply: Response, if_match: IfMatchDep = None
) -> Editor:
    return Editor(caller.name, request_id, database, reply, if_match)


CreatorDep = Annotated[Editor, Depends(_creator)]
EditorDep = Annotated[Editor, Depends(_editor)]
